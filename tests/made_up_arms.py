"""URDFs of made-up arms of six joints, of primitives, whole or with something wrong."""

LENGTHS = (0.12, 0.28, 0.24, 0.1, 0.1, 0.08)  # m from each joint to the next
AXES = ("0 0 1", "0 1 0", "0 1 0", "0 0 1", "0 1 0", "0 0 1")
LIMIT = '<limit lower="-2.5" upper="2.5" velocity="2.0" effort="60"/>'


def arm(prefix="", limit=LIMIT, kind="revolute", joints=6, changed=(2, 3, 4, 5), extra="") -> str:
    """One arm from its base to its two fingers. limit, kind and extra are of the joints numbered in `changed`."""
    parts = [f'<link name="{prefix}base">{_cylinder(0.06, 0.08, 0.0)}</link>']
    before = f"{prefix}base"
    for index in range(joints):
        is_changed = index in changed
        link, length = f"{prefix}link{index + 1}", LENGTHS[index]
        parts.append(f'<link name="{link}">{_cylinder(0.04, length, length / 2)}</link>')
        height = 0.05 if index == 0 else LENGTHS[index - 1]
        parts.append(
            f'<joint name="{prefix}joint{index + 1}" type="{kind if is_changed else "revolute"}">'
            f'<parent link="{before}"/><child link="{link}"/><origin xyz="0 0 {height}"/><axis xyz="{AXES[index]}"/>'
            f"{limit if is_changed else LIMIT}{extra if is_changed else ''}</joint>"
        )
        before = link
    parts.append(
        f'<link name="{prefix}palm">{_box(0.05, 0.16, 0.04)}</link><joint name="{prefix}mount" type="fixed">'
        f'<parent link="{before}"/><child link="{prefix}palm"/><origin xyz="0 0 {LENGTHS[joints - 1] + 0.02}"/></joint>'
    )
    for number, sign in ((1, 1), (2, -1)):
        mimic = f'<mimic joint="{prefix}finger1"/>' if number == 2 else ""
        parts.append(
            f'<link name="{prefix}fingertip{number}">{_box(0.02, 0.02, 0.08)}</link>'
            f'<joint name="{prefix}finger{number}" type="prismatic"><parent link="{prefix}palm"/>'
            f'<child link="{prefix}fingertip{number}"/><origin xyz="0 {0.012 * sign} 0.06"/><axis xyz="0 {sign} 0"/>'
            f'<limit lower="0" upper="0.04" velocity="0.1" effort="30"/>{mimic}</joint>'
        )
    return "".join(parts)


def one_arm(**changes) -> str:
    return f'<?xml version="1.0"?>\n<robot name="one">{arm(**changes)}</robot>'


def two_arms(right=None, **changes) -> str:
    """Two arms 0.6 m apart on a stand, looking forward. right: what differs there, beside `changes`."""
    mounts = "".join(
        f'<joint name="{side}_stand" type="fixed"><parent link="stand"/><child link="{side}_base"/>'
        f'<origin xyz="0.1 {y} 0.04" rpy="0 0 {yaw}"/></joint>'
        for side, y, yaw in (("left", 0.3, -0.2), ("right", -0.3, 0.2))
    )
    both = arm("left_", **changes) + arm("right_", **{**changes, **(right or {})})
    return f'<?xml version="1.0"?>\n<robot name="two"><link name="stand"/>{mounts}{both}</robot>'


def _cylinder(radius, length, middle):
    shape = f'<origin xyz="0 0 {middle}"/><geometry><cylinder radius="{radius}" length="{length}"/></geometry>'
    return _massive(1.0, middle) + f"<visual>{shape}</visual><collision>{shape}</collision>"


def _box(x, y, z):
    shape = f'<origin xyz="0 0 {z / 2}"/><geometry><box size="{x} {y} {z}"/></geometry>'
    return _massive(0.1, z / 2) + f"<collision>{shape}</collision>"


def _massive(mass, middle):
    return (
        f'<inertial><origin xyz="0 0 {middle}"/><mass value="{mass}"/>'
        f'<inertia ixx="{0.01 * mass}" iyy="{0.01 * mass}" izz="{0.005 * mass}" ixy="0" ixz="0" iyz="0"/></inertial>'
    )
