# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# Roots of Debian's releases, for "./dev package test" and "./dev matrix".
# Sourced with CHAT_RUN.  Requires root, for pivot_root.

roots=$CHAT_RUN/roots


# root_mirror LABEL: prints the mirror of this machine

root_mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
            'Origin: Debian' "Label: $1" | head -n 1
}


# root_base SUITE: creates a minimal root, which remains unchanged; prints its
# path

root_base() {
    if [ ! -d "$roots/$1" ]; then
        step "Downloading $1"

        mkdir -p "$roots"
        rm -rf "$roots/$1.new"

        mirror=$(root_mirror Debian)
        [ "$mirror" ] || die "apt has no Debian mirror"

        debootstrap --variant=minbase "$1" "$roots/$1.new" "$mirror" \
            >"$roots/$1.log" 2>&1 </dev/null 9>&- ||
            die_log "$roots/$1.log" "debootstrap failed"

        # snapshot mirrors have expired lists
        {
            echo "deb [check-valid-until=no] $mirror $1 main"

            mirror=$(root_mirror Debian-Security)
            [ "$1" = sid ] || [ ! "$mirror" ] ||
                echo "deb [check-valid-until=no] $mirror $1-security main"
        } >"$roots/$1.new/etc/apt/sources.list"

        {
            echo 'APT::Get::Assume-Yes "true";'
            echo 'APT::Install-Recommends "false";'
            echo 'APT::Sandbox::User "root";'
        } >"$roots/$1.new/etc/apt/apt.conf.d/90roots"

        mv "$roots/$1.new" "$roots/$1"
    fi

    echo "$roots/$1"
}


# root_copy SUITE NAME: creates a copy of the minimal root; sets $root to its
# path

root_copy() {
    base=$(root_base "$1")
    root=$roots/$2

    rm -rf "$root"
    cp -a "$base" "$root"
}


# root_run ROOT COMMAND ...: runs a shell in the root, in namespaces for
# processes and mounts, which end with it.  Tests create mount namespaces
# themselves, so it uses pivot_root instead of chroot.

root_run() {
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child -- sh -euc '
        mount --bind "$1" "$1"
        cd "$1"
        shift
        mount -t proc proc proc
        mount --rbind /dev dev
        pivot_root . .
        umount -l .
        exec env -i HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
                 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
                 DEBIAN_FRONTEND=noninteractive \
                 ${http_proxy:+http_proxy="$http_proxy"} \
             sh -euc "$*"
    ' sh "$@" </dev/null 9>&-
}


# root_install ROOT PACKAGE ...: services do not start

root_install() {
    root_path=$1
    shift

    printf '#!/bin/sh\nexit 101\n' >"$root_path/usr/sbin/policy-rc.d"
    chmod 755 "$root_path/usr/sbin/policy-rc.d"

    root_run "$root_path" "apt-get -q update
                           apt-get -q install $*" \
        >"$root_path.log" 2>&1 ||
        die_log "$root_path.log" "cannot install $*"
}
