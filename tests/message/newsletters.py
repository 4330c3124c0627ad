"""Newsletters as tools and designers make them, with style sheets of every manner; written for these tests.

Each is a document with the style that it is in. What they have in common is what goes wrong: doctypes, conditional
comments, rules for some screens and some mail readers, declarations that undo each other.
"""

from __future__ import annotations

from typing import Final

_XHTML: Final = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">'
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml">'
)
_DOT: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFElEQVR4nGP8z8DAwMDAxAADCAAADwABAbYz"
    "b3kAAAAASUVORK5CYII="
)
_MJML_HEAD: Final = """<!doctype html><html xmlns="http://www.w3.org/1999/xhtml"><head><title></title>
<!--[if !mso]><!-->
<meta http-equiv="X-UA-Compatible" content="IE=edge"><!--<![endif]-->
<meta name="viewport" content="width=device-width, initial-scale=1">
<style type="text/css">#outlook a { padding:0; } body { margin:0;padding:0;-webkit-text-size-adjust:100%; }
table, td { border-collapse:collapse;mso-table-lspace:0pt; } img { border:0;height:auto;line-height:100%;outline:none; }
p { display:block;margin:13px 0; }</style><!--[if mso]><noscript><xml></xml></noscript><![endif]-->
<!--[if !mso]><!--><style type="text/css">@import url(https://fonts.example.com/css?family=Ubuntu:300,400);</style>
<!--<![endif]--><style type="text/css">@media only screen and (min-width:480px) {
.mj-column-per-50 { width:50% !important; max-width: 50%; } .mj-column-per-100 { width:100% !important; } }</style>
<style media="screen and (min-width:480px)">.moz-text-html .mj-column-per-50 { width:50% !important; }</style>
<style type="text/css">@media only screen and (max-width:479px) { table.mj-full-width-mobile { width: 100% !important; }
td.mj-full-width-mobile { width: auto !important; } }</style>"""


def _mjml(style: str, body: str) -> str:
    column = (
        '<div class="mj-column-per-50 mj-outlook-group-fix" style="font-size:0px;text-align:left;display:inline-block;'
        'vertical-align:top;width:100%;"><table border="0" role="presentation" width="100%"><tbody><tr>'
        f'<td class="cell" style="padding:10px 25px;word-break:break-word;">{body}</td></tr></tbody></table></div>'
    )
    return (
        f'{_MJML_HEAD}<style>{style}</style></head><body style="word-spacing:normal;background:#eee">'
        f'<div style="background:#fff;margin:0 auto;max-width:600px;">{column}{column}</div></body></html>'
    )


def _page(style: str, body: str, head: str = "<!DOCTYPE html><html>") -> str:
    return f"{head}<head><style>{style}</style></head><body>{body}</body></html>"


_TABLE: Final = (
    '<table class="outer" width="100%"><tr><td align="center"><table class="inner" width="600"><tr><td class="head">'
    '<h1>News</h1></td></tr><tr><td class="body"><p>Dear <b>reader</b>,</p><p class="lead">this is <a href="#">a link'
    '</a> and <a class="button" href="#">a button</a>.</p><ul><li>one</li><li class="x">two</li></ul></td></tr>'
    '<tr><td class="foot">&copy; <span>somebody</span></td></tr></table></td></tr></table>'
)

NEWSLETTERS: Final[dict[str, str]] = {
    "M1: a sheet for small screens": '<style media="only screen and (max-width:600px)">.hide{display:none!important}'
    '</style><p class="hide">Desktop only</p><p>Always</p>',
    "M1: a sheet for paper": '<style media="print">p{display:none}</style><p>On screens</p>',
    "M2: XHTML and a fallback": _page(
        ".top{background:#0b3d2e;background:linear-gradient(90deg,#0b3d2e,#3a7)} p{color:#fff} p:hover{color:red}",
        '<div class="top"><p>Text</p></div><table><tr><td>quirks?</td></tr></table>',
        _XHTML,
    ),
    "M2: important at home and away": _page(
        "p{color:red!important;padding:4px} @media (max-width:600px){p{color:blue!important;padding:20px}}", "<p>x</p>"
    ),
    "M2: downlevel-revealed": _page(
        "p{color:green}", "<![if !mso]><p>not for Outlook</p><![endif]><!--[if mso]><p>only Outlook</p><![endif]-->"
    ),
    "MJML: text": _mjml("", '<div style="font-family:Ubuntu,Arial;font-size:13px;color:#000">Hello</div><p>World</p>'),
    "MJML: classes of its own": _mjml(
        ".cell{background:#def} .cell p{margin:0;color:#600} @media(max-width:600px){.cell p{color:#060}}",
        "<p>Hello</p><p style='color:#006'>World</p>",
    ),
    "MJML: a button": _mjml(
        "a.b{display:inline-block;background:#414141;color:#fff;padding:10px"
        " 25px;border-radius:3px} a.b:hover{color:red}",
        '<a class="b" href="#">Press</a>',
    ),
    "XHTML: the year 2010": _page(
        "body{margin:0;padding:0} .ExternalClass{width:100%} .ExternalClass *{line-height:100%} #outlook a{padding:0}"
        ".outer{background-color:#ddd} .inner{background:#fff;border:1px solid #999} h1{color:#202020;font-size:26px}"
        ".body,.foot{padding:20px;font:14px/1.5 Arial} .foot{color:#707070;font-size:11px}"
        " a:link,a:visited{color:#336699}"
        "h1,h2{margin:0 0 10px} .lead{font-style:italic} li.x{list-style:square}",
        _TABLE,
        _XHTML,
    ),
    "XHTML: small screens without !important": _page(
        "p{font-size:20px;margin:20px} .inner{width:600px} @media only screen and (max-width:600px){p{font-size:12px}"
        ".inner{width:100%} .foot{display:none} .button{display:block;margin-top:9px}}"
        " .button{background:#fc0;padding:5px}",
        _TABLE,
        _XHTML,
    ),
    "XHTML: what comes later wins": _page(
        "@media (max-width:600px){p{color:red;padding:1px 2px}} p{color:blue} td p{padding-left:30px} .lead{padding:0}",
        _TABLE,
        _XHTML,
    ),
    "quirks: no doctype": _page("table{font-size:20px} td{color:#900} .HEAD{background:#ccc}", _TABLE, "<html>"),
    "minified": _page(
        "a{color:#06c}body,p,td{font:15px/22px"
        " Helvetica,Arial,sans-serif;color:#333}@media(max-width:600px){.inner{width:"
        "100%!important}.body{padding:5px!important}}.body{padding:32px}.button{background:#06c;co"
        "lor:#fff;padding:8px 16px;"
        "text-decoration:none}h1{font-size:30px;letter-spacing:-.5px}li+li{margin-top:9px}tr:nth-c"
        "hild(2) td{border-top:3px"
        " solid #06c}",
        _TABLE,
    ),
    "minified: Outlook in a media block": _page(
        "@media all{#outlook a{padding:0}}@media screen{h1{color:teal}}p{margin:0 0 1em}h1{color:navy;margin:0}", _TABLE
    ),
    "Word": '<html xmlns:o="urn:schemas-microsoft-com:office:office" xmlns="http://www.w3.org/TR/REC-html40"><head>'
    "<style><!-- /* Font Definitions */ @font-face {font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;}"
    " p.MsoNormal, li.MsoNormal, div.MsoNormal {margin:0cm; margin-bottom:.0001pt; font-size:11.0pt;"
    ' font-family:"Calibri",sans-serif;} a:link, span.MsoHyperlink {color:#0563C1; text-decoration:underline;}'
    " span.E-MailFormatvorlage17 {mso-style-type:personal-compose; color:windowtext;}"
    " .MsoChpDefault {font-size:10.0pt;}"
    " @page WordSection1 {size:612.0pt 792.0pt; margin:70.85pt;} div.WordSection1 {page:WordSection1;} --></style>"
    "<!--[if gte mso 9]><xml><o:shapedefaults/></xml><![endif]--></head><body lang=DE link='#0563C1'>"
    "<div class=WordSection1><p class=MsoNormal>Hello,<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p>"
    "<p class=MsoNormal style='margin-bottom:12.0pt'><b><span style='font-size:14.0pt;color:#C00000'>Dear</span></b> "
    "<a href='#'>reader</a></p><table class=MsoNormalTable border=0><tr><td style='padding:.75pt'><p class=MsoNormal>x"
    "</p></td></tr></table></div></body></html>",
    "Word: attributes without quotation marks": _page(
        "p.MsoNormal{margin:0;font-size:12pt} td p.MsoNormal{color:#555;font-weight:bold}",
        "<p class=MsoNormal align=center style=margin-top:20px>x<table><tr><td width=300><p class=MsoNormal>y</table>",
    ),
    "dark: by preference": _page(
        ":root{color-scheme:light dark} body{background:#fff;color:#111} .inner{background:#f6f6f6} a{color:#05c}"
        "@media (prefers-color-scheme:dark){body{background:#111;color:#eee}"
        " .inner{background:#222!important} a{color:#8cf}}",
        _TABLE,
    ),
    "dark: Outlook's": _page(
        ".body{background:#fff;color:#000} [data-ogsc] .body{color:#fff!important} [data-ogsb] .body{background:#000"
        "!important} u + .body .lead{color:red} p{margin:9px}",
        _TABLE,
    ),
    "dark: pictures": _page(
        ".light{display:block;width:40px} .dark{display:none;width:80px} @media"
        " (prefers-color-scheme:dark){.light{display:"
        "none!important}.dark{display:block!important}}",
        f'<img class="light" src="{_DOT}" alt=""><img class="dark" src="{_DOT}" alt="">',
    ),
    "short and long properties": _page(
        "p{margin:10px;border:1px solid red;font:16px Arial} .a{margin-left:50px;border-left-color:blue;line-height:3}"
        ".b{margin:0 5px} @media(max-width:600px){.a{margin:2px} .b{font-size:30px;border-width:5px}}",
        '<p class="a">a</p><p class="b">b</p><p class="a b">ab</p><p style="margin-top:40px" class="a">own</p>',
    ),
    "specific before late": _page(
        "#one{color:red} .two{color:blue} p{color:green} p.two.three{color:brown} body p{color:orange} *{color:black}"
        "p[title]{text-decoration:underline} p:not(.two){font-weight:bold} div>p{padding-left:9px}",
        '<p id="one" class="two">1</p><p class="two three">2</p><div><p title="t">3</p></div><p>4</p>',
    ),
    "blocks and modifiers": _page(
        ".button{background-color:#36c;border-top:9px solid #36c;color:#fff} .button--green{background-color:#2b6;"
        "border-top:9px solid #2b6} .card__title--large{font-size:30px}",
        '<p class="card__title card__title--large">Hi</p><p><a class="button button--green" href="#">Check</a></p>',
    ),
    "important against its own": _page(
        "p{color:red!important} .x{color:blue} p.y{background:#ff0!important}",
        '<p class="x" style="color:green">a</p><p class="y" style="background:#0ff!important;color:#000">b</p>',
    ),
    "states and pieces": _page(
        "a{color:#c00;text-decoration:none} a:hover,a:focus{color:#0c0} p::first-letter{font-size:40px;color:#00c}"
        "p:first-of-type{font-size:14px} li:last-child{color:#c0c}"
        " li:nth-child(odd){background:#eee} p::after{content:' <'}",
        _TABLE,
    ),
    "lists, quotations, tables of data": _page(
        "blockquote{margin:0 0 0 9px;border-left:3px solid #aaa;padding-left:9px;color:#666}"
        " th{text-align:left;background"
        ":#333;color:#fff;padding:4px} td{border-bottom:1px solid #ccc;padding:4px}"
        " tr:nth-child(even) td{background:#f3f3f3}"
        "pre,code{font-family:monospace;background:#eee} hr{border:0;border-top:2px dotted #999} h2{font-size:1.2em}",
        "<h2>T</h2><blockquote>q<pre>a "
        " b</pre></blockquote><hr><table><tr><th>a<th>b<tr><td>1<td>2<tr><td>3<td>4</table>",
    ),
    "several sheets": "<!DOCTYPE"
    ' html><html><head><style>p{color:red;margin:5px}</style><style media="screen">p{color:blue}'
    '</style><style media="(max-width:600px)">p{color:green}</style><!--[if'
    " mso]><style>p{color:black}</style><![endif]-->"
    '</head><body><p>x</p><style>p{text-indent:20px}</style><p style="color:#888">y</p></body></html>',
    "supports, layers and variables": _page(
        ":root{--brand:#639} p{color:#639;color:var(--brand)} @supports"
        " (display:grid){.g{display:grid;grid-template-columns"
        ":1fr 1fr}} .g{display:block;border:1px solid} .g p{padding:calc(2px + 3px)}",
        '<div class="g"><p>a</p><p>b</p></div>',
    ),
    "what is no style": _page(
        "p{color:red;;colour:blue;color:} .a{width:expression(1);*zoom:1;_height:1px}"
        " }p{font-size:20px} /* { */ b{color:blue",
        '<p class="a">x <b>y</b></p>',
    ),
    "capitals": "<HTML><HEAD><STYLE TYPE='text/css'>P {COLOR: RED} .Big {FONT-SIZE: 30PX}"
    " TD.Big{Background:#EEE}</STYLE>"
    "</HEAD><BODY><P CLASS=Big>x</P><TABLE><TR><TD CLASS='Big' STYLE='Color:Blue'>y</TABLE></BODY></HTML>",
    "fonts": _page(
        "@font-face{font-family:'Own';src:url(own.woff2)} p{font-family:'Own','Segoe UI',\"DejaVu Sans\",sans-serif}"
        ' .q{font-family:"DejaVu Serif",serif} h1{font:bold 30px/1 "DejaVu Sans"}',
        "<h1>x</h1><p>sans</p><p class='q'>serif</p><p style='font-size:20px' class=q>both</p>",
    ),
    "a fragment": "<style>div{background:#eee;padding:9px}div div{background:#ccc}</style><div>a<div>b</div></div>",
    "quirks: capitals of classes and ids": _page(
        ".Cap{color:#c00} #Main{background:#eee} p.cAP:not([title='Cap']){font-weight:bold}"
        " .cap{text-decoration:underline}",
        "<div id=MAIN><p class=CAP>a</p><p class='cap' title='Cap'>b</p></div>",
        "<HTML>",
    ),
    "standards: capitals of classes": _page(
        ".Cap{color:#c00} .cap{color:#00c}", "<p class=CAP>a</p><p class=cap>b</p>"
    ),
    "sheets that browsers leave aside": "<!doctype html><style type='text/less'>p{color:#0ff}</style>"
    "<style title='one'>p{color:#060}</style><style title='two'>p{color:#900}</style>"
    "<style type='TEXT/CSS'>i{color:#00c}</style><p>x <i>y</i></p>",
    "names with signs": _page(
        ".w-1\\/2{width:50%} .sm\\:block{display:none} .bg-\\[\\#1da1f2\\]{background:#1da1f2} .\\32xl{font-size:24px}"
        "@media (max-width:640px){.sm\\:block{display:block!important}}",
        '<div class="w-1/2 bg-[#1da1f2]">a <b class="2xl">b</b></div><p class="sm:block">c</p>',
    ),
}
