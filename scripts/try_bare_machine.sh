#!/usr/bin/env bash
# Shows that the README is enough: bare Debian 12, its one line of packages, a clean clone, `make demo`, `make test`.
set -euo pipefail

usage() {
    cat << 'END'
Makes a bare Debian 12 in a folder, installs there exactly the line that the README gives, clones this checkout's HEAD
into it, and runs `make demo` and `make test` with nothing else of this machine. Says what came out; exit code 0 when
everything passed. Needs root, debootstrap and 12 GB; takes 15 to 30 minutes on two cores.

    scripts/try_bare_machine.sh [options] FOLDER        FOLDER: where to make it; remove it by hand afterwards

    --python PREFIX  set up with the Python that lies in PREFIX of this machine (PREFIX/bin/python3), not with Debian's
    --share PATH     let PATH of this machine be seen at the same place, read-only: pip's configuration, a folder of
                     wheels, certificates; may be repeated
    --env NAME       hand the environment variable NAME on; may be repeated. http_proxy, https_proxy and no_proxy always are
    --target NAME    make this target only; may be repeated. Default: demo, then test
    --again          FOLDER was made before: keep what is set up in it, take HEAD as it is now
    --mirror URL     where Debian comes from; default http://deb.debian.org/debian
    --suite NAME     which Debian; default bookworm

    sudo scripts/try_bare_machine.sh /var/tmp/bare
    sudo scripts/try_bare_machine.sh --python /opt/python-3.12 --share /etc/pip.conf --env PIP_INDEX_URL /var/tmp/bare312
END
}

root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)"
script="$root/scripts/$(basename "${BASH_SOURCE[0]}")"
arguments=("$@")
folder="" python="" again="" mirror=http://deb.debian.org/debian suite=bookworm
shares=() targets=() variables=(http_proxy https_proxy no_proxy)
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        --again) again=yes; shift; continue ;;
        --python | --share | --env | --target | --mirror | --suite)
            [ $# -ge 2 ] || { echo "try_bare_machine: $1 needs a value; see --help" >&2; exit 2; } ;;
        -*) echo "try_bare_machine: unknown option $1; see --help" >&2; exit 2 ;;
        *) [ -z "$folder" ] || { echo "try_bare_machine: one folder, not '$folder' and '$1'" >&2; exit 2; }
           folder="$1"; shift; continue ;;
    esac
    case "$1" in
        --python) python="$(readlink -f "$2")" ;;
        --share) shares+=("$2") ;;
        --env) variables+=("$2") ;;
        --target) targets+=("$2") ;;
        --mirror) mirror="$2" ;;
        --suite) suite="$2" ;;
    esac
    shift 2
done
[ ${#targets[@]} -gt 0 ] || targets=(demo test)
[ -n "$folder" ] || { usage >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "try_bare_machine: run it as root, or with sudo" >&2; exit 2; }
command -v debootstrap > /dev/null || { echo "try_bare_machine: apt-get install debootstrap" >&2; exit 2; }
[ -z "$python" ] || [ -x "$python/bin/python3" ] || { echo "try_bare_machine: no $python/bin/python3" >&2; exit 2; }

line="$(grep -E '^apt-get update ' "$root/README.md" || true)"
[ "$(grep -c . <<< "$line")" = 1 ] || { echo "try_bare_machine: README.md has not one line 'apt-get update ...'" >&2; exit 2; }

# In a mount namespace of its own, so that nothing stays mounted however this ends.
if [ -z "${CLWM_BARE_NAMESPACE:-}" ]; then
    CLWM_BARE_NAMESPACE=yes exec unshare --mount --propagation private -- bash "$script" "${arguments[@]}"
fi

mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"
tree="$folder/tree"
if [ -z "$again" ]; then
    [ ! -e "$tree" ] || { echo "try_bare_machine: $tree is there already; use --again, or remove it" >&2; exit 2; }
    echo "== debootstrap --variant=minbase $suite"
    debootstrap --variant=minbase "$suite" "$tree" "$mirror" > "$folder/debootstrap.log"
fi

mount -t proc proc "$tree/proc"
mount -t tmpfs dev "$tree/dev"
mkdir "$tree/dev/shm" "$tree/dev/pts"
mount -t tmpfs -o size=256m shm "$tree/dev/shm"
for device in null zero full random urandom tty; do
    touch "$tree/dev/$device"
    mount --bind "/dev/$device" "$tree/dev/$device"
done
ln -s /proc/self/fd "$tree/dev/fd"
cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"

# inside COMMAND: in the tree, with no variable of this shell but those that were asked for.
inside() {
    local kept=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin) name
    for name in "${variables[@]}"; do
        [ -z "${!name:-}" ] || kept+=("$name=${!name}")
    done
    env -i "${kept[@]}" "$(command -v chroot)" "$tree" bash -c "$1"
}

if [ -z "$again" ]; then
    echo "== $line"
    inside "export DEBIAN_FRONTEND=noninteractive; $line" > "$folder/apt.log" 2>&1 ||
        { tail -20 "$folder/apt.log"; exit 1; }
    rm -rf "$tree/srv/clwm"
    git clone -q --no-hardlinks "$root" "$tree/srv/clwm"
else
    git -C "$tree/srv/clwm" fetch -q "$root" HEAD
    git -C "$tree/srv/clwm" reset -q --hard FETCH_HEAD
fi
# After the packages, some of which write where something is shared.
[ -z "$python" ] || shares+=("$python")
for path in ${shares[@]+"${shares[@]}"}; do
    if [ -d "$path" ]; then mkdir -p "$tree$path"; else mkdir -p "$tree$(dirname "$path")"; touch "$tree$path"; fi
    mount --bind -o ro "$path" "$tree$path"
done

commit="$(git -C "$tree/srv/clwm" rev-parse --short HEAD)"

failed=0 outcome=()
for target in "${targets[@]}"; do
    command="make ${python:+PYTHON=$python/bin/python3 }$target"
    echo "== $command"
    began=$SECONDS
    if inside "cd /srv/clwm && $command" > "$folder/$target.log" 2>&1; then verdict=passed; else verdict=FAILED; failed=1; fi
    outcome+=("$command: $verdict after $((SECONDS - began)) s: $(grep -v '^$' "$folder/$target.log" | tail -1)")
    [ "$verdict" = passed ] || tail -40 "$folder/$target.log"
done

echo
echo "bare $(. "$tree/etc/os-release" && echo "$PRETTY_NAME"), $(inside '/srv/clwm/.venv/bin/python -V'), commit $commit"
printf '%s\n' "${outcome[@]}"
echo "logs: $folder/*.log"
exit $failed
