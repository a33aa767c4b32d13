#
# Copyright (C) ngx_chat contributors
#

package Chatctl;

# The command line of chatctl.

use strict;
use warnings;

use Chatctl::Database;
use Chatctl::Django;
use Chatctl::Erase;
use Chatctl::Export;
use Chatctl::Files;
use Chatctl::Output qw(fail wrong_usage);
use Chatctl::Purge;
use Chatctl::Schema;
use Chatctl::Sync;
use Chatctl::User;

my $USAGE = <<'END';
Usage: chatctl [--config FILE] COMMAND

  db init                 create the tables in an empty database
  db migrate              upgrade the tables to this version of ngx_chat
  db check                check the connection, the schema and the counters

  user add [--no-password] NAME
                          add a user; the password is read from the terminal
  user passwd NAME        or from standard input
  user rename NAME NEW    rename a user; messages and sessions remain
  user rename --id ID NEW
  user disable NAME       prevent logins and end the sessions
  user enable NAME        allow logins again
  user admin NAME [off]   make the user an administrator, or revoke this
  user logout NAME        end all sessions of the user
  user show NAME          print the account of the user
  user list               list all users
  user sync [--disable-missing]
                          add and change users as listed on standard input, one
                          per line: name, display name, avatar and 1 or 0 for
                          active, with tabs between them; or JSON objects with
                          "name", "display_name", "avatar_url" and "active";
                          --disable-missing disables all users that are missing,
                          except administrators

  audit                   print the audit log, latest first
  purge --older-than AGE  delete old messages in small steps; AGE is a number
                          and h, d, w, M (months) or y, such as 90d
  export NAME             print all data of a user as JSON
  erase NAME [--received] [--wait SECONDS] [--yes]
                          delete a user's account, sessions and sent messages;
                          with --received, also the received messages

  files check DIRECTORY [--delete]
                          compare the directory of "chat_files" with the rows
                          of files; with --delete, delete what is left over

  import-django DATABASE  copy users and messages from the tables of a Django
                          app on the same server into empty tables

The connection options come from an option file of the MySQL client.  Only the
options of host, socket, account, TLS and database are used.  An example:

  [client]
  user=root
  socket=/run/mysqld/mysqld.sock
  [mysql]
  database=chat

The option file is FILE, the value of CHATCTL_CONF, chatctl.cnf in the directory
CHAT_RUN of "./dev run", or /etc/nginx/chatctl.cnf, in this order.  CHATCTL_SQL
sets the directory of schema.sql and migrations/.

Exit status: 0 success, 1 failure, 2 wrong usage.
END

# handler, and the minimum and the maximum number of arguments after the command

my %COMMANDS = (
    'db init'       => [\&Chatctl::Schema::init, 0, 0],
    'db migrate'    => [\&Chatctl::Schema::migrate, 0, 0],
    'db check'      => [\&Chatctl::Schema::check, 0, 0],
    'user add'      => [\&Chatctl::User::add, 1, 2, '--no-password'],
    'user passwd'   => [\&Chatctl::User::passwd, 1, 1],
    'user rename'   => [\&Chatctl::User::rename_user, 2, 3, '--id'],
    'user disable'  => [\&Chatctl::User::disable, 1, 1],
    'user enable'   => [\&Chatctl::User::enable, 1, 1],
    'user admin'    => [\&Chatctl::User::admin, 1, 2],
    'user logout'   => [\&Chatctl::User::logout, 1, 1],
    'user show'     => [\&Chatctl::User::show, 1, 1],
    'user list'     => [\&Chatctl::User::list, 0, 0],
    'user sync'     => [\&Chatctl::Sync::sync, 0, 1],
    'audit'         => [\&Chatctl::User::audit, 0, 0],
    'purge'         => [\&Chatctl::Purge::purge, 2, 2],
    'export'        => [\&Chatctl::Export::export_user, 1, 1],
    'erase'         => [\&Chatctl::Erase::erase, 1, 99],
    'files check'   => [\&Chatctl::Files::check, 1, 2],
    'import-django' => [\&Chatctl::Django::import_tables, 1, 1],
);


sub run {
    my (@arguments) = @_;

    my $conf = $ENV{CHATCTL_CONF} ? $ENV{CHATCTL_CONF}
               : $ENV{CHAT_RUN} ? "$ENV{CHAT_RUN}/chatctl.cnf"
               : '/etc/nginx/chatctl.cnf';

    if (@arguments && $arguments[0] eq '--config') {
        wrong_usage('--config requires a file') if @arguments < 2;
        $conf = $arguments[1];
        splice @arguments, 0, 2;

    } elsif (@arguments && $arguments[0] =~ /\A--config=(.*)/s) {
        $conf = $1;
        shift @arguments;
    }

    if (!@arguments) {
        print STDERR $USAGE;
        exit 2;
    }

    if ($arguments[0] =~ /\A(?:help|-h|--help)\z/) {
        print $USAGE or fail("standard output: $!");
        close STDOUT or fail("standard output: $!");
        exit;
    }

    my $handler = command(\@arguments);

    Chatctl::Database::configure($conf);
    $handler->(@arguments);
}


# command ARGUMENTS: removes the command from the arguments and returns its
# handler

sub command {
    my ($arguments) = @_;

    my @words = @$arguments;
    my $name = $words[0];

    $name .= " $words[1]" if $name =~ /\A(?:db|user|files)\z/ && @words > 1;

    my $command = $COMMANDS{$name}
        or wrong_usage("unknown command \"@words\"");

    splice @$arguments, 0, $name =~ / / ? 2 : 1;

    my ($handler, $min, $max, $option) = @$command;

    # an option that comes with an argument of its own
    if (defined $option) {
        @$arguments && $arguments->[0] eq $option ? ($min = $max)
                                                  : ($max = $min);
    }

    wrong_usage('wrong number of arguments')
        if @$arguments < $min || @$arguments > $max;

    return $handler;
}


1;
