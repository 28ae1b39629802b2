"""What of an episode's dynamics may differ from the nominal, and how the model is told.

The table's height is that of its top above the z = 0 of the robot's description, which says where the bases stand. The
simulated world is the table's: its top stays at z = 0, with objects, head camera and all predicates, and the arms'
bases stand lower by as much as the table is higher. Rows are in the robot's own frame, as on a robot that nobody told
how high the table is; `Situation.table_height` lies between the two, and an expert, which knows the situation, reckons
with it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import mujoco
import numpy as np

from clwm_sim.scenes.things import Layout
from clwm_sim.scenes.workcell import SIDES


@dataclass(frozen=True)
class Physics:
    """Constant within an episode. Factors are of the nominal value, 1 being nominal.

    mass, friction, hinge_damping: of all objects; drag: 1/s by which those that move freely are slowed down.
    finger_friction, table_friction: of two surfaces that touch, the larger friction counts. joint_damping: of the arms'
    viscous and dry friction. stiffness: of the drives' position gain; damping_ratio: of how well damped they are.
    latency: s from a command to its effect on arms and hands, rounded to 2.5 ms. table_height: m.
    """

    mass: float = 1.0
    friction: float = 1.0
    hinge_damping: float = 1.0
    drag: float = 0.0
    finger_friction: float = 1.0
    table_friction: float = 1.0
    joint_damping: float = 1.0
    stiffness: float = 1.0
    damping_ratio: float = 1.0
    grip_force: float = 1.0
    latency: float = 0.0
    table_height: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for a quantity that no dynamics can have."""
        for name, value in asdict(self).items():
            may_be_zero, may_be_below = name in ("drag", "latency"), name == "table_height"
            if not (math.isfinite(value) and (may_be_below or value > 0.0 or (may_be_zero and value == 0.0))):
                expected = "a finite number" if may_be_below else "0 or more" if may_be_zero else "more than 0"
                raise ValueError(f"physics: {name} is {value}; expected {expected}")

    def of_objects(self, layout: Layout) -> Layout:
        """The layout with its objects' masses, frictions and damping: the same one when they are nominal."""
        if self.mass == self.friction == self.hinge_damping == 1.0:
            return layout
        things = {}
        for name, thing in layout.things.items():
            hinge = thing.hinge and replace(thing.hinge, damping=thing.hinge.damping * self.hinge_damping)
            things[name] = replace(
                thing, mass=thing.mass * self.mass, friction=thing.friction * self.friction, hinge=hinge
            )
        return replace(layout, things=things)


NOMINAL = Physics()


class ModelPhysics:
    """Remembers a model's nominal dynamics at construction, and gives it others. Objects' own are part of a layout."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        joints = [f"{side}/fr3_joint{index}" for side in SIDES for index in range(1, 8)]
        self._dofs = model.jnt_dofadr[[model.joint(name).id for name in joints]]
        self._drives = [model.actuator(name).id for name in joints]
        self._hands = [model.actuator(f"{side}/hand").id for side in SIDES]
        self._bases = [model.body(f"{side}/base").id for side in SIDES]
        self._fingers = np.flatnonzero(["finger" in model.body(body).name for body in model.geom_bodyid])
        self._table = [model.geom("table").id]
        self._nominal = {
            name: getattr(model, name).copy()
            for name in (
                "actuator_gainprm",
                "actuator_biasprm",
                "dof_damping",
                "dof_frictionloss",
                "geom_friction",
                "body_pos",
            )
        }

    def apply(self, physics: Physics, layout: Layout) -> None:
        """From the nominal dynamics on: what was applied before is gone. Fitting a layout must come after it."""
        model, nominal = self._model, self._nominal
        for name in ("actuator_gainprm", "actuator_biasprm"):
            getattr(model, name)[:] = nominal[name]
        model.actuator_gainprm[self._drives, 0] *= physics.stiffness
        model.actuator_biasprm[self._drives, 1] *= physics.stiffness
        # Damping in proportion to the root of the stiffness is damped as well as before.
        model.actuator_biasprm[self._drives, 2] *= physics.damping_ratio * np.sqrt(physics.stiffness)
        model.actuator_gainprm[self._hands, 0] *= physics.grip_force
        model.actuator_biasprm[self._hands, 1] *= physics.grip_force
        for name in ("dof_damping", "dof_frictionloss"):
            getattr(model, name)[self._dofs] = nominal[name][self._dofs] * physics.joint_damping
        for geoms, factor in ((self._fingers, physics.finger_friction), (self._table, physics.table_friction)):
            model.geom_friction[geoms, 0] = nominal["geom_friction"][geoms, 0] * factor
        model.body_pos[self._bases] = nominal["body_pos"][self._bases] - [0.0, 0.0, physics.table_height]
        for name, thing in layout.things.items():
            if thing.moves == "free":
                dof = int(model.jnt_dofadr[model.joint(name).id])
                model.dof_damping[dof : dof + 3] = physics.drag * thing.mass
                model.dof_damping[dof + 3 : dof + 6] = physics.drag * thing.mass * thing.extent**2 / 3.0
