# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# Roots of Debian's releases, for "./dev package test" and "./dev matrix".
# Root only, since they are entered by pivot_root.  To be sourced, with CHAT_RUN.

roots=$CHAT_RUN/roots


# root_mirror LABEL: where this machine gets Debian from

root_mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
            'Origin: Debian' "Label: $1" | head -n 1
}


# root_base SUITE: a root as small as can be, which nobody changes; on standard
# output its path

root_base() {
    if [ ! -d "$roots/$1" ]; then
        step "Fetching $1"

        mkdir -p "$roots"
        rm -rf "$roots/$1.new"

        mirror=$(root_mirror Debian)
        [ "$mirror" ] || die "apt knows no mirror of Debian here"

        debootstrap --variant=minbase "$1" "$roots/$1.new" "$mirror" \
            >"$roots/$1.log" 2>&1 </dev/null 9>&- ||
            die_log "$roots/$1.log" "debootstrap fails"

        # a mirror that stands still, as snapshots do, will do
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


# root_copy SUITE NAME: a root to work in, made anew; its path in $root

root_copy() {
    base=$(root_base "$1")
    root=$roots/$2

    rm -rf "$root"
    cp -a "$base" "$root"
}


# root_run ROOT COMMAND ...: by a shell, within; with processes and mounts of
# its own, so that nothing is left of either behind it.  Not by chroot, since
# tests make name spaces of mounts, and enter them: they need a "/" of this one.

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


# root_install ROOT PACKAGE ...: no service is started

root_install() {
    root_path=$1
    shift

    printf '#!/bin/sh\nexit 101\n' >"$root_path/usr/sbin/policy-rc.d"
    chmod 755 "$root_path/usr/sbin/policy-rc.d"

    root_run "$root_path" "apt-get -q update
                           apt-get -q install $*" \
        >"$root_path.log" 2>&1 ||
        die_log "$root_path.log" "cannot install what is needed"
}
