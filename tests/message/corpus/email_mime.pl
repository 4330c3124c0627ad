# Perl's Email::MIME as a reader of the corpus: file names on standard input, one JSON object a line on standard output.
use v5.24;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use Email::MIME;
use Encode qw(decode encode);
use JSON::PP;
use Time::Local qw(timegm);

use constant LONGEST_SHOWN => 1000;

my $json = JSON::PP->new->utf8;

sub shown {
    my ($text) = @_;
    $text =~ s/\r\n/\n/g;
    return $text if length $text <= LONGEST_SHOWN;
    return length($text) . ' characters, ' . sha256_hex(encode('UTF-8', $text));
}

sub mailboxes {
    my ($message, $name) = @_;
    return [map { [$_->phrase // '', $_->address] } $message->header_as_obj($name)->addresses];
}

my %month;
@month{qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)} = 0 .. 11;

sub seconds {
    my ($date) = @_;
    $date =~ /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) \+0000$/ or die "no date: $date";
    return timegm($6, $5, $4, $1, $month{$2}, $3);
}

sub read_message {
    my ($file) = @_;
    open my $handle, '<:raw', $file or die "$file: $!";
    my $message = Email::MIME->new(do { local $/; <$handle> });
    my (%body, @attachments);
    for my $part (grep { !$_->subparts } $message->parts > 1 || $message->subparts ? leaves($message) : $message) {
        my ($type) = $part->content_type =~ m{^([\w/.+-]+)};
        my $disposition = $part->header('Content-Disposition') // 'inline';
        if ($type =~ m{^text/(plain|html)$} && $disposition eq 'inline' && !exists $body{$1}) {
            $body{$1} = $part->body_str;
            next;
        }
        my ($id) = ($part->header('Content-ID') // '') =~ /^<(.*)>$/;
        push @attachments, [$part->filename // '', length $part->body, sha256_hex($part->body), $id // ''];
    }
    my $text = $body{plain} // '';
    $text =~ s/\r?\n\z// unless $message->subparts;
    return {
        sender => mailboxes($message, 'From'),
        to => mailboxes($message, 'To'),
        reply_to => mailboxes($message, 'Reply-To'),
        subject => $message->header_str('Subject'),
        note => $message->header_str('X-Note'),
        list_unsubscribe => $message->header('List-Unsubscribe'),
        message_id => $message->header('Message-ID'),
        text => shown($text),
        html => shown($body{html} // ''),
        attachments => \@attachments,
        names => [map { lc } $message->header_names],
        date => seconds($message->header('Date')),
    };
}

sub leaves {
    my ($part) = @_;
    return $part->subparts ? map { leaves($_) } $part->subparts : $part;
}

while (my $file = <STDIN>) {
    chomp $file;
    say $json->encode(read_message($file));
}
