#
# Copyright (C) ngx_chat contributors
#

package Chat::Family;

# What MariaDB's servers and MySQL's have different names for.  CHAT_DB, of
# ./dev, says which of them is here.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw($Mysql $Client server_command install_command log_size);

our $Mysql = ($ENV{CHAT_DB} // 'mariadb') eq 'mysql';

# the client program
our $Client = $Mysql ? 'mysql' : 'mariadb';


# server_command: the program, and what each server of a test has

sub server_command {
    return $Mysql ? qw(mysqld --no-defaults --secure-file-priv=NULL
                       --mysqlx=OFF --skip-log-bin)
                  : qw(mariadbd --no-defaults);
}


# install_command DATA, [OPTION, ...]: makes the data folder of a server in
# which root has no password

sub install_command {
    my ($data, @options) = @_;

    my @command = $Mysql
        ? (server_command(), '--initialize-insecure')
        : qw(mariadb-install-db --no-defaults --force --skip-test-db
             --auth-root-authentication-method=normal);

    return join ' ', @command, "--datadir=$data", @options;
}


# log_size MEGABYTES: options for a redo log of that size

sub log_size {
    my ($size) = @_;

    return $Mysql ? "--innodb-redo-log-capacity=${size}M"
                  : "--innodb-log-file-size=${size}M";
}


1;
