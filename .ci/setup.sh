# What ./millrace and ./check share. Sourced by both, with $root already set to the top of the clone.
# Everything said here goes to stderr: stdout belongs to the program that runs afterwards.

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

# The compiler cache lives inside the clone, so that nothing outside is touched; whoever sets CCACHE_DIR chooses another
# place. Paths are made relative, so that a second clone finds what a first one compiled.
use_compiler_cache() {
    export CCACHE_DIR="${CCACHE_DIR:-$root/build/ccache}"
    export CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-3G}"
    export CCACHE_BASEDIR="$root"
    export CCACHE_NOHASHDIR=1
}

# install_packages LIST: LIST holds lines "package  what it is for". Does nothing, without a network and without a word,
# when all are there.
install_packages() {
    local list="$1" names name why missing=() as_root=()
    names="$(awk 'NF { print $1 }' <<<"$list")"
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        need_no_packages "$names"
        return
    fi
    # shellcheck disable=SC2086  # one word a package
    local installed
    installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' $names 2>/dev/null)"
    for name in $names; do
        [[ "$installed" == *" installed:$name "* ]] || missing+=("$name")
    done
    ((${#missing[@]})) || return 0

    say "Installing ${#missing[@]} Debian package(s) that are missing:"
    for name in "${missing[@]}"; do
        why="$(awk -v name="$name" '$1 == name { $1 = ""; print; exit }' <<<"$list")"
        say "$(printf '  %-20s%s' "$name" "$why")"
    done
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            fail "this needs root and there is no sudo; as root, run: apt-get install ${missing[*]}"
        say "(with sudo, which may ask for your password)"
        as_root=(sudo)
        [[ -t 2 ]] || as_root=(sudo -n)
        "${as_root[@]}" true ||
            fail "sudo was refused; ask an administrator to run: apt-get install ${missing[*]}"
    fi
    local log="$root/build/packages.log" apt
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    # An unreachable mirror is no reason to stop: the lists on the machine may do.
    "${apt[@]}" update >"$log" 2>&1 || say "apt-get update failed; trying with the package lists that are here"
    if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "apt-get could not install ${missing[*]}; the lines above say why (all of them: $log)"
    fi
}

# On a system that is not Debian's kin the packages cannot be checked. Somebody who has configured a build there has them.
need_no_packages() {
    compgen -G "$root/build/*/build.ninja" >/dev/null && return 0
    say "This system has no apt-get, so missing packages cannot be installed for you."
    say "Install what these Debian packages contain: $(tr '\n' ' ' <<<"$1")"
    fail "then configure once by hand: cmake --preset release -S '$root'"
}

# lock_build NAME: makes build/ and takes the lock NAME in it until the script ends or calls unlock_build. 1 when build/
# cannot be written. Two names, because ./check itself calls ./millrace.
lock_build() {
    mkdir -p "$root/build" 2>/dev/null && [[ -w "$root/build" ]] || return 1
    { exec {build_lock}>"$root/build/.lock-$1"; } 2>/dev/null || return 1
    flock -n "$build_lock" && return 0
    say "Waiting for another ./$1 in $root to finish its build."
    flock "$build_lock"
}

unlock_build() { exec {build_lock}>&-; }

# As many jobs as there are cores, but no more than one a GiB of free memory.
build_jobs() {
    local cores memory
    cores="$(nproc)"
    memory="$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)"
    ((memory >= 1)) || memory=1
    echo $((cores < memory ? cores : memory))
}

# Shows ninja's "[3/90] Building …" as one moving line on a terminal, as a line every ten seconds elsewhere.
show_progress() {
    local log="$1" line last=0 shown=0
    while IFS= read -r line; do
        case "$line" in
            *"Re-checking globbed"* | "ninja: no work to do."* | "-- "*) continue ;;
        esac
        printf '%s\n' "$line" >>"$log"
        [[ "$line" =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
        if [[ -t 2 ]]; then
            printf '\rBuilding Millrace: %s of %s steps ' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&2
            shown=1
        elif ((SECONDS >= last + 10 || last == 0)); then
            say "Building Millrace: ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} steps"
            last=$((SECONDS + 1))
        fi
    done
    ((shown)) && printf '\r\033[K' >&2
    return 0
}

# The nvccs that kernels/cuda/find_nvcc.cmake would look at, where links lead to; nothing where there are none.
nvccs_here() {
    local name
    { [[ -z "${CUDA_PATH:-}" ]] || printf '%s\n' "$CUDA_PATH/bin/nvcc"
      type -aP nvcc
      printf '%s\n' /usr/local/cuda/bin/nvcc; } | while IFS= read -r name; do
        [[ ! -x "$name" ]] || readlink -f "$name"
    done
}

# build_preset NAME: configures when needed, builds what changed; says nothing when nothing did.
build_preset() {
    local directory="$root/build/$1" log="$root/build/$1.log" from nvccs
    # A clone that was moved or copied has a build that points at the old place.
    if [[ -f "$directory/CMakeCache.txt" ]]; then
        from="$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$directory/CMakeCache.txt")"
        [[ "$from" == "$root" ]] || rm -rf "$directory"
    fi
    # So has one from before a CUDA toolkit came, went or was replaced: it is configured anew, and what it compiled stays.
    nvccs="$(nvccs_here)"
    if [[ -f "$directory/build.ninja" && "$nvccs" != "$(cat "$directory/nvccs" 2>/dev/null)" ]]; then
        say "The CUDA toolkit of this machine is another one than before, so the build is configured anew."
        rm -rf "$directory/build.ninja" "$directory/CMakeCache.txt" "$directory"/CMakeFiles/[0-9]*
    fi
    : >"$log"
    if [[ ! -f "$directory/build.ninja" ]]; then
        [[ -d "$directory" ]] || say "Building Millrace for the first time; this takes a few minutes."
        (cd "$root" && cmake --preset "$1") >"$log" 2>&1 || show_failure "$log" "configuring"
        printf '%s\n' "$nvccs" >"$directory/nvccs"
    fi
    NINJA_STATUS='[%f/%t] ' ninja -C "$directory" -j "$(build_jobs)" 2>&1 | show_progress "$log"
    ((PIPESTATUS[0] == 0)) || show_failure "$log" "building"
}

show_failure() {
    grep -v '^\[[0-9]*/[0-9]*\]' "$1" | tail -n 60 >&2
    fail "$2 failed; the lines above say why (all of them: $1)"
}
