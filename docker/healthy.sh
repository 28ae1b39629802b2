#!/usr/bin/env bash
# For a container's HEALTHCHECK: 0 when an executor is heard and no node of the stack says that it is in error.
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." || exit 1
# shellcheck source=scripts/env.sh
source scripts/env.sh
python -c 'from clwm_bringup.checks.health_node import main; main()' | python -c '
import json, sys

told = json.load(sys.stdin)
wrong = {name: text for name, (level, text) in told.items() if level == "ERROR"}
print(wrong or (f"{len(told)} nodes are well" if "executor" in told else f"no executor is heard, only {sorted(told)}"))
sys.exit(bool(wrong) or "executor" not in told)
'
