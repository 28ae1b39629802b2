# Enters the project's environment: source scripts/env.sh (bash, from any folder; safe to source twice).
# It is what `source .venv/bin/activate` and `source ros2_ws/install/setup.bash` would do, without starting a process.

CLWM_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export CLWM_ROOT

# Set up with an installed ROS instead of the wheels, the environment starts with that one's.
if [ -f "$CLWM_ROOT/.venv/clwm_ros_prefix" ] && [ -z "${ROS_DISTRO:-}" ]; then
    . "$(cat "$CLWM_ROOT/.venv/clwm_ros_prefix")/setup.bash"
fi

# prepend VARIABLE FOLDER, once
_clwm_prepend() {
    eval "_clwm_old=\${$1:-}"
    case ":$_clwm_old:" in
        *":$2:"*) ;;
        *) export "$1=$2${_clwm_old:+:$_clwm_old}" ;;
    esac
    unset _clwm_old
}

export VIRTUAL_ENV="$CLWM_ROOT/.venv"
_clwm_prepend PATH "$VIRTUAL_ENV/bin"
[ -d "$VIRTUAL_ENV/share/ament_index" ] && _clwm_prepend AMENT_PREFIX_PATH "$VIRTUAL_ENV"
_clwm_prepend AMENT_PREFIX_PATH "$CLWM_ROOT/ros2_ws/install"
_clwm_prepend LD_LIBRARY_PATH "$CLWM_ROOT/ros2_ws/install/lib"
for _clwm_packages in "$CLWM_ROOT"/ros2_ws/install/lib/python3*/site-packages; do
    [ -d "$_clwm_packages" ] && _clwm_prepend PYTHONPATH "$_clwm_packages"
done
# `ros2 launch` runs by the installed ROS's interpreter, and reads the graph with this project's dependencies.
if [ -f "$VIRTUAL_ENV/clwm_ros_prefix" ]; then
    for _clwm_packages in "$VIRTUAL_ENV"/lib/python3*/site-packages; do
        _clwm_prepend PYTHONPATH "$_clwm_packages"
    done
fi
unset _clwm_packages
unset -f _clwm_prepend

# Jazzy reads the first name only, later distributions the second; whoever has set one of them means both.
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-${FASTDDS_DEFAULT_PROFILES_FILE:-$CLWM_ROOT/config/fastdds.xml}}"
export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$FASTRTPS_DEFAULT_PROFILES_FILE}"
export RMW_IMPLEMENTATION="${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}"
# The arms of one machine answer to that machine alone unless somebody decides otherwise.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
export MUJOCO_GL="${MUJOCO_GL:-egl}"
# One thread per process: with several on few cores the processes of the stack wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
