"""Words in many scripts: what each case of the corpus is about."""

from __future__ import annotations

from typing import NamedTuple


class Script(NamedTuple):
    """One script, or one thing that is hard about scripts.

    Attributes:
        name: What it is called here.
        person: A display-name.
        title: A subject.
        words: A sentence without anything that HTML or Markdown would take for a mark.
        filename: A file's name.
    """

    name: str
    person: str
    title: str
    words: str
    filename: str


SCRIPTS = (
    Script("ascii", "Ada Lovelace", "Welcome aboard", "The tea is on the house", "terms.pdf"),
    Script("latin", "Zoë Ångström", "Überraschung für Þórdís", "Żółć, naïve café, năm mới", "Prüfung für Jörg.pdf"),
    Script("cyrillic", "Юлия Щербакова", "Добро пожаловать", "Съешь же ещё этих мягких булок", "договор.pdf"),
    Script("greek", "Ελένη Παπαδοπούλου", "Καλώς ορίσατε", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", "όροι.txt"),
    Script("armenian", "Անահիտ Հակոբյան", "Բարի գալուստ", "Բել դղյակի ձախ ժամն օֆ ազգությանը", "պայմաններ.bin"),
    Script("georgian", "ნინო ჯავახიშვილი", "კეთილი იყოს", "ჩვენი სახლი მთაშია", "პირობები.pdf"),
    Script("arabic", "محمد الأمين", "مرحبا بكم", "نص حكيم له سر قاطع وذو شأن عظيم", "الشروط.pdf"),
    Script("hebrew", "יִצְחָק בן־דוד", "ברוכים הבאים", "דג סקרן שט בים מאוכזב", "תנאים.pdf"),
    Script(
        "bidi", "Ruth (רחל)", "1. \u202eabc\u202c \u200fרחל\u200f 2.", "left ימין left again ١٢٣", "a-\u200eב-c.pdf"
    ),
    Script("devanagari", "अनुष्का शर्मा", "स्वागत है", "ऋषियों को सताने वाले दुष्ट राक्षसों", "शर्तें.pdf"),
    Script("tamil", "தமிழ்ச்செல்வி", "வரவேற்கிறோம்", "யாமறிந்த மொழிகளிலே", "விதிகள்.txt"),
    Script("thai", "ณัฐวุฒิ น้ำทิพย์", "ยินดีต้อนรับ", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "ข้อตกลง.pdf"),
    Script("chinese", "李小龍", "欢迎光临", "天地玄黄,宇宙洪荒。", "条款.pdf"),
    Script("japanese", "山田 太郎", "ようこそ", "いろはにほへと ちりぬるを", "請求書.pdf"),
    Script("korean", "김철수", "환영합니다", "키스의 고유조건은 입술끼리", "약관.pdf"),
    Script("emoji", "👩‍👩‍👧‍👦 Family", "🎉 100 % off 🇳🇵", "🙂🏔️👍🏽 and more", "🙂.png"),
    Script(
        "combining", "Zalgo Z̵̛a̷͝l̸g̷o̴", "Z̵̛a̷͝l̸g̷o̴ e\u0301", "e\u0301 o\u0308 a\u030a, decomposed", "re\u0301sume\u0301.txt"
    ),
    Script(
        "astral",
        "𠮷野家 髙橋",
        "\U0001d518\U0001d52b\U0001d526\U0001d520\U0001d52c\U0001d521\U0001d522",
        "𐍈𐌰𐌽𐌳 𒀀𒀁 \U0001d7d8\U0001d7d9\U0001d7da",
        "𠮷.pdf",
    ),
)
