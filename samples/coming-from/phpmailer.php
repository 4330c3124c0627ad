<?php
// PHPMailer's keep-alive loop. phpmailer.toml does the same job.
//
//   composer require phpmailer/phpmailer && php phpmailer.php smtp.example.com 587

declare(strict_types=1);

use PHPMailer\PHPMailer\PHPMailer;

foreach ([__DIR__ . '/vendor/autoload.php', '/usr/share/php/libphp-phpmailer/autoload.php'] as $autoload) {
    if (is_file($autoload)) {
        require $autoload;
        break;
    }
}

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = $argv[1];
$mail->Port = (int) $argv[2];
$mail->SMTPKeepAlive = true;
$mail->CharSet = PHPMailer::CHARSET_UTF8;
if (getenv('SMTP_PASSWORD') !== false) {
    $mail->SMTPSecure = PHPMailer::ENCRYPTION_STARTTLS;
    $mail->SMTPAuth = true;
    $mail->Username = getenv('SMTP_USERNAME');
    $mail->Password = getenv('SMTP_PASSWORD');
}
$mail->setFrom('hello@mail.example.com', 'The Reading Room');

$file = fopen(__DIR__ . '/recipients.csv', 'r');
$names = fgetcsv($file, null, ',', '"', '');
while (($row = fgetcsv($file, null, ',', '"', '')) !== false) {
    ['email' => $email, 'name' => $name, 'city' => $city] = array_combine($names, $row);
    $mail->clearAllRecipients();
    $mail->addAddress($email, $name);
    $mail->Subject = "Welcome, $name";
    $mail->isHTML(true);
    $mail->Body = sprintf(
        "<p>Hello %s,</p>\n<p>your card is ready. Come by in <b>%s</b>.</p>\n",
        htmlspecialchars($name, ENT_QUOTES),
        htmlspecialchars($city, ENT_QUOTES),
    );
    $mail->AltBody = "Hello $name,\n\nyour card is ready. Come by in $city.\n";
    $mail->send();
}
$mail->smtpClose();
