<?php
// PHPMailer with SMTPKeepAlive: one connection for all messages, as its manual shows it for mailing lists.
declare(strict_types=1);

foreach (['Exception', 'PHPMailer', 'SMTP'] as $class) {
    require "/usr/share/php/libphp-phpmailer/src/$class.php";
}

use PHPMailer\PHPMailer\PHPMailer;

$task = json_decode(file_get_contents($argv[1]), true, 512, JSON_THROW_ON_ERROR);
$text = file_get_contents($task['text']);
$html = file_get_contents($task['html']);

$began = hrtime(true);
$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = $task['host'];
$mail->Port = $task['port'];
$mail->SMTPAutoTLS = false;
$mail->SMTPKeepAlive = true;
$mail->CharSet = 'UTF-8';
$mail->setFrom($task['from_address'], $task['from_name']);
$mail->isHTML(true);
$records = fopen($task['recipients'], 'r');
while (($line = fgets($records)) !== false) {
    $record = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    $marks = [];
    foreach ($record as $name => $value) {
        $marks["{{ $name }}"] = $value;
    }
    $mail->clearAddresses();
    $mail->addAddress($record['email'], $record['name']);
    $mail->Subject = strtr($task['subject'], $marks);
    $mail->Body = strtr($html, $marks);
    $mail->AltBody = strtr($text, $marks);
    $mail->send();
}
$mail->smtpClose();
echo json_encode(['seconds' => (hrtime(true) - $began) / 1e9]), "\n";
