# shellcheck shell=sh disable=SC2034
#
# Copyright (C) ngx_chat contributors
#
# Debian and npm packages that the commands of "./dev" need.


# --- lists ------------------------------------------------------------------

BUILD_PACKAGES="gcc make libc6-dev nginx nginx-dev libnginx-mod-nchan
                libmariadb-dev libyajl-dev libutf8proc-dev libcrypt-dev
                libssl-dev"

# the -core packages contain the programs without a service
SITE_PACKAGES="mariadb-server-core mariadb-client-core perl"

# the families of the database server and of the client library

CHAT_DB=${CHAT_DB:-mariadb}
CHAT_LIBRARY=${CHAT_LIBRARY:-$CHAT_DB}

if [ "$CHAT_DB" = mysql ]; then
    SITE_PACKAGES="mysql-server-core mysql-client-core perl"
fi

if [ "$CHAT_LIBRARY" = mysql ]; then
    BUILD_PACKAGES=$(echo "$BUILD_PACKAGES" | sed s/libmariadb/libmysqlclient/)
    export NGX_CHAT_MYSQL_CONFIG=mysql_config
fi

# redis-tools contains redis-server's program without the service

TEST_PACKAGES="iproute2 libdbi-perl libdbd-mariadb-perl libjson-validator-perl
               libmojolicious-perl libyaml-libyaml-perl openssl prometheus
               psmisc redis-tools"

GALERA_PACKAGES="galera-4 lsof rsync"

# Node.js may be installed from another source; npm needs the certificates
NODE_PACKAGES="ca-certificates"
command -v node >/dev/null || NODE_PACKAGES="$NODE_PACKAGES nodejs"
command -v npm >/dev/null || NODE_PACKAGES="$NODE_PACKAGES npm"

BROWSER_PACKAGES="chromium chromium-headless-shell fonts-dejavu-core
                  $NODE_PACKAGES"

LINT_PACKAGES="clang cppcheck perl shellcheck $NODE_PACKAGES"

BENCH_PACKAGES="wrk valgrind"

FUZZ_PACKAGES="clang libclang-rt-dev llvm dpkg-dev"

SANITIZE_PACKAGES="$FUZZ_PACKAGES valgrind"

PACKAGE_PACKAGES="build-essential debhelper lintian"
ROOT_PACKAGES="debootstrap iproute2"


# --- installation -----------------------------------------------------------

# install_packages PACKAGE|FILE.deb ...: installs missing packages.  It removes
# no package, and nginx does not start, neither now nor at the next boot.

install_packages() {
    missing=

    for package; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
                 2>/dev/null) || status=
        [ "$status" = installed ] || missing="$missing $package"
    done

    [ "$missing" ] || return 0

    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        sudo=$(command -v sudo) ||
            die "sudo is missing; as root, install$missing"
    fi

    step "Installing$missing"

    # shellcheck disable=SC2016,SC2086
    $sudo sh -c '
        policy=/usr/sbin/policy-rc.d
        export DEBIAN_FRONTEND=noninteractive

        get() {
            apt-get -y -q --no-remove --no-install-recommends \
                    -o DPkg::Lock::Timeout=300 install "$@"
        }

        if [ ! -e $policy ]; then
            trap "rm -f $policy" EXIT
            trap "exit 1" HUP INT TERM
            printf "#!/bin/sh\nexit 101\n" >$policy
            chmod 755 $policy
        fi

        get "$@" || { apt-get -q update && get "$@"; } || exit

        for service in nginx prometheus; do
            case " $* " in
            *" $service "*)
                if command -v systemctl >/dev/null; then
                    systemctl --quiet disable $service
                fi
            esac
        done
    ' install $missing >"$CHAT_RUN/install.log" 2>&1 </dev/null ||
        die_log "$CHAT_RUN/install.log" "cannot install$missing"
}


# install_test_packages: installs the packages that t/*.t require

install_test_packages() {
    # shellcheck disable=SC2086
    install_packages $BUILD_PACKAGES $SITE_PACKAGES $TEST_PACKAGES
    install_test_nginx
}


# install_test_nginx: Debian packages Test::Nginx in unstable only, for all
# architectures and without dependencies on newer packages.  apt downloads this
# file with directories of its own, from the configured mirror.

install_test_nginx() {
    if perl -MTest::Nginx::Socket -e 1 2>/dev/null; then
        return
    fi

    step "Downloading Test::Nginx"

    folder=$CHAT_RUN/apt
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"

    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
                     'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
             head -n 1)
    [ "$mirror" ] || die "apt has no Debian mirror to download Test::Nginx" \
                         "from; run \"cpanm Test::Nginx\""

    # snapshot mirrors have expired lists
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$key check-valid-until=no] $mirror sid main" \
         >"$folder/sources.list"

    (
        cd "$folder"
        for command in update "download libtest-nginx-perl"; do
            # shellcheck disable=SC2086
            apt-get -q -o Dir::Etc::SourceList="$folder/sources.list" \
                    -o Dir::Etc::SourceParts=/dev/null \
                    -o Dir::State::Lists="$folder/lists" \
                    -o Dir::Cache="$folder/cache" \
                    -o APT::Sandbox::User="$(id -un)" $command
        done
    ) >"$CHAT_RUN/install.log" 2>&1 </dev/null ||
        die_log "$CHAT_RUN/install.log" "cannot download libtest-nginx-perl"

    install_packages "$folder"/libtest-nginx-perl_*.deb
}


# install_http3: an HTTP/3 client, if nginx supports HTTP/3 and apt has the
# client.  Otherwise the tests are skipped and print the reason.

install_http3() {
    if nginx -V 2>&1 | grep -q -- --with-http_v3_module &&
        apt-cache show python3-aioquic >/dev/null 2>&1
    then
        install_packages python3-aioquic
    fi
}


# install_galera: Galera needs a script of the package mariadb-server, which
# would start a server, so only this file is extracted

install_galera() {
    # shellcheck disable=SC2086
    install_packages $GALERA_PACKAGES

    if ! command -v wsrep_sst_rsync >/dev/null; then
        folder=$CHAT_RUN/galera
        PATH=$PATH:$folder/usr/bin
        [ ! -e "$folder/usr/bin/wsrep_sst_rsync" ] || return 0

        step "Downloading wsrep_sst_rsync"
        rm -rf "$folder"
        mkdir -p "$folder"

        (cd "$folder" &&
         apt-get -q download mariadb-server \
                 -o APT::Sandbox::User="$(id -un)" &&
         dpkg-deb --fsys-tarfile mariadb-server_*.deb |
             tar -x --wildcards './usr/bin/wsrep_sst_*') \
            >"$CHAT_RUN/install.log" 2>&1 </dev/null ||
            die_log "$CHAT_RUN/install.log" "cannot download mariadb-server"
    fi
}


# npm_packages DIR: installs the packages of its package-lock.json

npm_packages() {
    lock=$1/package-lock.json
    installed=$1/node_modules/installed.json

    if ! cmp -s "$lock" "$installed"; then
        step "Downloading the npm packages of ${1#"$TOP"/}"
        npm --prefix "$1" ci --ignore-scripts --no-audit \
            --no-fund >"$CHAT_RUN/npm.log" 2>&1 </dev/null ||
            die_log "$CHAT_RUN/npm.log" "npm failed"
        cp "$lock" "$installed"
    fi
}
