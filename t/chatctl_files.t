#
# Copyright (C) ngx_chat contributors
#

# chatctl files check, and files in purge, export and erase

use JSON::PP;
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Data;
use Chat::Files;

# put TOKEN, HOURS: writes a file of this age

sub put {
    my ($path, $hours) = @_;
    my $now = time;

    mkdir $_ for $path =~ m{^((.*)/..)/..$}s ? ($2, $1) : ();
    open my $file, '>', $path or die "$path: $!\n";
    print $file 'x';
    close $file or die "$path: $!\n";
    utime $now, $now - 3600 * $hours, $path or die "$path: $!\n";
}

run_tests();


__DATA__

=== leftovers in both directions are found and deleted
--- change
with_files();
--- then
my $dir = files_dir();
my @tokens = map { uploaded('u1', "$_.txt") } 1 .. 4;
my $sent = send_files('u1', 'u2', @tokens[0, 1]);

# leftovers of other blocks
chatctl("files check $dir --delete");
is(chatctl("files check $dir"),
   "ok   0 files have no row\n"
   . "ok   0 temporary files are left of interrupted uploads\n"
   . "ok   0 rows have no file\n"
   . "ok   0 files belong to messages that do not exist\n", 'none');
is($Code, 0, 'exit status');

my ($lost, $new) = map { substr($tokens[3], 0, 4) . $_ x 28 } 'a', 'b';
put(stored($lost), 2);
put(stored($new), 0);
put("$dir/tmp/0000000001", 25);
put("$dir/tmp/0000000002", 2);
unlink stored($tokens[2]) or die;
sql('UPDATE chat_file SET message_id = 99 WHERE token = ?', $tokens[1]);

for my $option ('', ' --delete', '') {
    my $bad = $option ? 'done' : 'BAD ';
    my $n = -e stored($lost) ? 1 : 0;
    my $prefix = $n ? $bad : 'ok  ';
    my $end = $n && $option ? ', deleted' : '';

    is(chatctl("files check $dir$option"),
       "$prefix $n files have no row$end\n"
       . "$prefix $n temporary files are left of interrupted uploads$end\n"
       . "$prefix $n rows have no file$end\n"
       . "$prefix $n files belong to messages that do not exist$end\n",
       "check$option");
    is($Code, $n && !$option ? 1 : 0, 'exit status');
}

ok(-e stored($tokens[0]), 'a file of a message remains');
ok(-e stored($new), 'a new file remains');
ok(-e "$dir/tmp/0000000002", 'a new temporary file remains');
is(scalar sql('SELECT COUNT(*) FROM chat_file WHERE token = ?', $tokens[2]), 0,
   'the row without a file is deleted');
like(scalar sql('SELECT state FROM chat_file WHERE token = ?', $tokens[1]),
     qr/^[23]$/, 'the file without a message will be removed');

chatctl('files check /');
is($Code, 1, 'another directory');
chatctl("files check $dir --other");
is($Code, 2, 'another option');
unlink stored($new), "$dir/tmp/0000000002";


=== purge, export and erase
--- change
with_files();
--- then
my ($one, $two, $unsent) = map { uploaded('u1', "$_\".txt") } 1 .. 3;
my $first = send_files('u1', 'u2', $one);
my $second = send_files('u1', 'u2', $two);

my $all = decode_json(chatctl('export u1'));
is_deeply([map { $_->{files}[0]{name} } @{ $all->{messages} }],
          ['1".txt', '2".txt'], 'the export has the files of messages');
is(join(' ', map { "$_->{file} $_->{name} " . ($_->{message_id} // '-') }
                 @{ $all->{files} }),
   "$one 1\".txt 1 $two 2\".txt 2 $unsent 3\".txt -", 'and all uploads');

sql('UPDATE chat_message SET created_at = created_at - INTERVAL 99 DAY
     WHERE id = 1');
like(chatctl('purge --older-than 90d'), qr/^Deleted 1 messages/, 'purge');
like(join(' ', sql('SELECT state FROM chat_file ORDER BY created_at')),
     qr/^[23] 1 0$/, 'its file will be removed');

like(chatctl('erase u1 --yes --wait 0'), qr/^Erased u1/, 'erase');
is(scalar sql('SELECT COUNT(*) FROM chat_file WHERE state < 2'), 0,
   'all files will be removed');
is(scalar sql("SELECT COUNT(*) FROM chat_file WHERE name <> ''"), 0,
   'no name is left');

# a deletion has a worker remove them
my $message = send_files('u2', 'u3', uploaded('u2', 'x'));
is(api('u2', DELETE => "/api/v1/message/$message->{id}/")->code, 204,
   'a deletion');
ok(wait_until { !grep { -e stored($_) } $one, $two, $unsent },
   'the files disappear');
