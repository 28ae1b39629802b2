from pathlib import Path

from setuptools import find_packages, setup


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """data_files entries for all files under `folder`, a link to the folder of that name at the project's root."""
    entries: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob("*.*")):
        if path.suffix in (".py", ".yaml", ".xml", ".urdf"):
            entries.setdefault(f"share/clwm_bringup/{path.parent}", []).append(str(path))
    return list(entries.items())


setup(
    name="clwm_bringup",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_bringup"]),
        ("share/clwm_bringup", ["package.xml"]),
        *shared("launch"),
        *shared("config"),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "clwm = clwm_bringup.__main__:main",
        ],
    },
)
