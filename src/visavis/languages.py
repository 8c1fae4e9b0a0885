"""Languages: what they are called, and the words that tell whose turn it is.

A language is a code of ISO 639 without a region: `pt` of `pt-BR`. Every one has a name here that a recogniser
may use; word lists exist for those in `TURN_WORDS`. Of any other language only the hums are known, and how
long somebody speaks decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

ENGLISH = "en"
DETECT = "detect"
"""Instead of a code: find out in every utterance."""
NAMES = dict(
    entry.split(" ", 1)
    for entry in (
        "af Afrikaans,am Amharic,ar Arabic,as Assamese,az Azerbaijani,ba Bashkir,be Belarusian,bg Bulgarian,"
        "bn Bengali,bo Tibetan,br Breton,bs Bosnian,ca Catalan,cs Czech,cy Welsh,da Danish,de German,"
        "el Greek,en English,eo Esperanto,es Spanish,et Estonian,eu Basque,fa Persian,fi Finnish,fo Faroese,"
        "fr French,ga Irish,gl Galician,gu Gujarati,ha Hausa,haw Hawaiian,he Hebrew,hi Hindi,hr Croatian,"
        "ht Haitian Creole,hu Hungarian,hy Armenian,id Indonesian,is Icelandic,it Italian,ja Japanese,"
        "jw Javanese,ka Georgian,kk Kazakh,km Khmer,kn Kannada,ko Korean,la Latin,lb Luxembourgish,"
        "ln Lingala,lo Lao,lt Lithuanian,lv Latvian,mg Malagasy,mi Maori,mk Macedonian,ml Malayalam,"
        "mn Mongolian,mr Marathi,ms Malay,mt Maltese,my Burmese,ne Nepali,nl Dutch,nn Nynorsk,no Norwegian,"
        "oc Occitan,pa Punjabi,pl Polish,ps Pashto,pt Portuguese,ro Romanian,ru Russian,sa Sanskrit,"
        "sd Sindhi,si Sinhala,sk Slovak,sl Slovenian,sn Shona,so Somali,sq Albanian,sr Serbian,su Sundanese,"
        "sv Swedish,sw Swahili,ta Tamil,te Telugu,tg Tajik,th Thai,tk Turkmen,tl Tagalog,tr Turkish,tt Tatar,"
        "uk Ukrainian,ur Urdu,uz Uzbek,vi Vietnamese,yi Yiddish,yo Yoruba,yue Cantonese,zh Chinese"
    ).split(",")
)
"""Code -> name in English: the languages that Whisper knows, and a few more."""
_CODES = {name.lower(): code for code, name in NAMES.items()}


def base(code: str) -> str:
    """The language of a code: `pt` of `pt-BR`."""
    return code.split("-")[0].lower()


def name_of(code: str) -> str:
    """What a language is called in English; the code itself when that is not known."""
    return NAMES.get(code, code)


def code_of(language: str) -> str | None:
    """The code of a language given by its code or its English name; None when it is neither."""
    plain = language.strip().lower()
    return _CODES.get(plain) or (base(plain) if base(plain) in NAMES else None)


# -- words that tell whose turn it is -----------------------------------------------------------------------
HUMS = "mhm mm hm hmm hmmm mmm aha ah oh ooh ooo uh um eh er ha haha hehe".split()
"""Listening signals of any language."""


@dataclass(frozen=True, slots=True)
class TurnWords:
    """The words of one language, in lower case."""

    known: bool = False
    """Whether there are lists for the language."""
    backchannels: frozenset[str] = frozenset(HUMS)
    """Signs of listening."""
    hummed: frozenset[str] = frozenset()
    """What the recogniser writes for a hummed "mm-hm"; believed only when nothing else was said."""
    commands: frozenset[str] = frozenset()
    """One of these is enough to take the turn."""
    never_last: frozenset[str] = frozenset()
    """No sentence ends on these."""
    last_of_questions: frozenset[str] = frozenset()
    """Only questions end on these."""
    may_end: frozenset[str] = frozenset()
    """A sentence may end on these when the recogniser heard it end, and goes on otherwise."""

    @property
    def open_words(self) -> frozenset[str]:
        return self.never_last | self.last_of_questions | self.may_end


def _lists(
    backchannels: str,
    commands: str,
    never_last: str,
    may_end: str = "",
    last_of_questions: str = "",
    hummed: str = "",
) -> TurnWords:
    sets = (frozenset(text.split()) for text in (hummed, commands, never_last, last_of_questions, may_end))
    return TurnWords(True, frozenset((*HUMS, *backchannels.split())), *sets)


TURN_WORDS = {
    "en": _lists(
        backchannels="yeah yes yep yup yea ya ye mma mmhm mmhmm uhhuh huh wow okay ok k okey kay mmkay right "
        "alrighty alright sure nice cool great good exactly really see i got it m h he heh hey ho wha well "
        "yay yet yeh yas",
        hummed="mama mom moment emily amen money hum ahem mother huh ma a man them homer home and then",
        commands="stop wait no hold hang pause quiet sorry excuse actually but what why how who where when "
        "can could",
        never_last="and but or so because the a an my your our their if um uh er",
        last_of_questions="to of in on at for with from his her is are was i we he she that like than about "
        "into as by this these those can will would could should have has had then",
        may_end="you it do does well",
    ),
    "pl": _lists(
        backchannels="tak no ta taa yhm yhy ehe hej jasne dobra dobrze okej ok okay rozumiem właśnie "
        "dokładnie super świetnie fajnie pewnie naprawdę serio wow ojej acha",
        commands="stop stój czekaj poczekaj zaczekaj chwila chwilę chwileczkę moment nie przestań cicho "
        "cisza dość wystarczy przepraszam ale właściwie co czemu dlaczego jak kto kiedy gdzie ile który "
        "możesz czy",
        never_last="i oraz ale lub albo bo ponieważ że żeby aby w we z ze na do od po dla przy przez o u pod "
        "nad przed za bez między mój moja moje twój twoja twoje jeśli jeżeli gdy niż czy więc yyy eee który "
        "która które",
        may_end="a jest są to może mogę chcę muszę chciałbym chciałabym bardzo",
    ),
    "de": _lists(
        backchannels="ja jo joa jep klar genau okay ok gut schön super toll stimmt richtig verstehe ach "
        "achso so aja echt wirklich wow naja hey",
        commands="stopp stop halt warte warten moment nein nicht pause ruhe entschuldigung sorry "
        "eigentlich aber was warum wieso wie wer wo wann kannst können welche",
        never_last="und oder aber sondern denn weil dass wenn ob der die das den dem des ein eine einen "
        "einem einer mein meine dein deine sein seine ihr ihre unser in im am zum zur für von vom bei und äh "
        "ähm sehr",
        may_end="zu mit auf an nach aus um ich du er sie es wir ist sind war habe hat kann will möchte als "
        "wie",
    ),
    "es": _lists(
        backchannels="sí si ya claro vale bueno bien ok okey okay exacto eso ajá entiendo genial perfecto "
        "verdad guau vaya",
        commands="para alto espera espere no pausa silencio basta perdón perdona perdone disculpa pero qué "
        "por cómo quién dónde cuándo cuál cuánto puedes puede",
        never_last="y e o u pero sino porque que el la los las un una unos unas de del a al en con por para "
        "sin sobre entre mi tu su mis tus sus nuestro si como cuando aunque eh este muy",
        may_end="es son yo quiero puedo tengo más",
    ),
    "fr": _lists(
        backchannels="oui ouais ouai si bien bon ok okay okey d'accord accord d exact exactement voilà super "
        "génial vraiment ah bah tiens je vois c'est ça",
        commands="stop arrête arrêtez attends attendez non pause silence pardon excuse excusez désolé mais "
        "quoi pourquoi comment qui où quand quel quelle combien peux pouvez",
        never_last="et ou mais donc car parce que qu'un le la les un une des du de à au aux en dans sur sous "
        "avec pour par sans mon ma mes ton ta tes son sa ses notre votre leur si euh très",
        may_end="est sont suis ai je tu il elle nous vous veux peux plus",
    ),
    "it": _lists(
        backchannels="sì si già certo va bene ok okay okey esatto giusto capisco capito bello davvero ecco "
        "perfetto ottimo wow",
        commands="stop ferma fermati aspetta aspetti no pausa silenzio basta scusa scusi scusami però ma "
        "cosa che perché come chi dove quando quale quanto puoi può",
        never_last="e ed o ma però perché che il lo la i gli le un uno una di del della dei a al alla in nel "
        "nella con per su sul da dal tra fra mio mia tuo tua suo sua se ehm molto",
        may_end="è sono ho io voglio posso più come",
    ),
    "pt": _lists(
        backchannels="sim é claro certo tá está bem bom ok okay okey pois exato entendo entendi legal fixe "
        "verdade mesmo isso uau nossa",
        commands="para pare espera espere não pausa silêncio chega basta desculpa desculpe mas o que por "
        "porque como quem onde quando qual quanto pode podes",
        never_last="e ou mas porque que o a os as um uma de do da dos das em no na nos nas com por para pelo "
        "pela sem sobre meu minha teu tua seu sua se ahn muito",
        may_end="são eu quero posso tenho mais como",
    ),
    "zh": _lists(
        backchannels="嗯 嗯嗯 哦 噢 啊 对 对对 对啊 是 是的 是啊 好 好的 好吧 行 可以 没错 当然 真的 哇 "
        "明白 知道了 了解 嘿 呃 不错",
        commands="停 停下 停一下 等 等等 等一下 不 不要 不是 别 安静 对不起 但是 可是 什么 为什么 怎么 谁 "
        "哪里 哪儿 什么时候 能 能不能 请问",
        never_last="和 跟 与 或 或者 但 但是 可是 因为 所以 如果 要是 在 把 被 给 从 向 对于 关于 比 我的 "
        "你的 一个 这个 那个 呃 很",
        may_end="想 要 是 有 的 我 你",
    ),
    "ja": _lists(
        backchannels="はい うん うんうん ええ えー へえ へー ああ あー そう そうです そうですね そうなんだ "
        "そうなんですか そっか なるほど 確かに 本当 ほんと ほんとに すごい いいね オーケー わかりました "
        "了解 ふーん ねえ",
        commands="ストップ 止めて とめて やめて 待って まって ちょっと待って いいえ いや 違う ちがう "
        "すみません ごめん でも 何 なに なんで なぜ どうして どう 誰 だれ どこ いつ いくら 静かに",
        never_last="は を に へ と で の が も や そして しかし だから それで もし えっと あの その この",
        may_end="けど から て ので とか",
    ),
}
"""Backchannels, commands and open words were collected for what recognisers write; only the English lists
were measured (with turn-taking itself, see `turntaking`)."""
NO_ANSWER = {
    "en": "Sorry, I have no answer to that.",
    "pl": "Przepraszam, nie mam na to odpowiedzi.",
    "de": "Entschuldigung, darauf habe ich keine Antwort.",
    "es": "Lo siento, no tengo respuesta para eso.",
    "fr": "Désolé, je n'ai pas de réponse à cela.",
    "it": "Mi dispiace, non ho una risposta.",
    "pt": "Desculpe, não tenho resposta para isso.",
    "zh": "抱歉，我没有答案。",
    "ja": "すみません、それには答えられません。",
}
"""Said when there is no answer."""
ONE_MOMENT = {
    "en": "One moment…",
    "pl": "Chwileczkę…",
    "de": "Einen Moment…",
    "es": "Un momento…",
    "fr": "Un instant…",
    "it": "Un momento…",
    "pt": "Um momento…",
    "nl": "Een ogenblik…",
    "zh": "请稍等…",
    "ja": "少々お待ちください…",
}
"""Said while the answer is late."""
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_RUN = re.compile(r"(?:[^\W_]|')+")
_HUM = re.compile(r"\b(?:m+|uh+)[- ]?h[mu]\w*")


@cache
def turn_words(code: str) -> TurnWords:
    """The lists of a language; without any but the hums when there are none for it."""
    return TURN_WORDS.get(base(code), TurnWords())


def words(text: str, code: str = ENGLISH) -> list[str]:
    """The words of `text` in lower case; every spelling of "mm-hm" and "uh-huh" becomes "mhm".

    Languages that write no spaces are cut where a word of their lists is, otherwise character by character.
    """
    plain = _HUM.sub("mhm", text.lower().replace("’", "'"))
    if _UNSPACED.search(plain):
        return _unspaced(base(code)).findall(plain)
    return _RUN.findall(plain)


@cache
def _unspaced(code: str) -> re.Pattern[str]:
    lists = turn_words(code)
    known = sorted(lists.backchannels | lists.commands | lists.open_words, key=len, reverse=True)
    return re.compile(
        "|".join([*(re.escape(word) for word in known), "[\u3040-\u30ff\u3400-\u9fff]", _RUN.pattern])
    )
