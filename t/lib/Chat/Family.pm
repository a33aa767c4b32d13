#
# Copyright (C) ngx_chat contributors
#

package Chat::Family;

# Differences between the servers of MariaDB and MySQL.  CHAT_DB, which ./dev
# sets, names the one in use.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw($Mysql $Client server_command install_command log_size);

our $Mysql = ($ENV{CHAT_DB} // 'mariadb') eq 'mysql';

# the client program
our $Client = $Mysql ? 'mysql' : 'mariadb';


# server_command: returns the program and the common options of test servers

sub server_command {
    return $Mysql ? qw(mysqld --no-defaults --secure-file-priv=NULL
                       --mysqlx=OFF --skip-log-bin)
                  : qw(mariadbd --no-defaults);
}


# install_command DATA, [OPTION, ...]: returns the command that creates the data
# directory of a server in which root has no password

sub install_command {
    my ($data, @options) = @_;

    my @command = $Mysql
        ? (server_command(), '--initialize-insecure')
        : qw(mariadb-install-db --no-defaults --force --skip-test-db
             --auth-root-authentication-method=normal);

    return join ' ', @command, "--datadir=$data", @options;
}


# log_size MEGABYTES: returns options for a redo log of that size

sub log_size {
    my ($size) = @_;

    return $Mysql ? "--innodb-redo-log-capacity=${size}M"
                  : "--innodb-log-file-size=${size}M";
}


1;
