package clean

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

// rendered are the templates that compute their text.
var rendered = map[string]template{
	"fmtn": number, "formatnum": number, "num": number, "nts": number, "val": number,
	"convert": quantity, "converter": quantity, "cvt": quantity, "unidade": quantity, "unit": quantity,
	"dni": date, "nascimento": date, "data de nascimento": date, "data": date, "date": date, "dtn": date, "start date": date, "morte": date, "falecimento": date, "falecimento e idade": date, "data de morte": date, "data de falecimento": date, "death date": date, "birth date": date,
	"séc": century, "século": century, "secxx": century, "século romano": century,
	"nihongo": nihongo, "nihongo2": nihongo, "japonês": nihongo,
	"citação": quotation, "quote": quotation, "cquote": quotation, "citação2": quotation, "citar texto": quotation, "quote box": quotation, "quadro citação": quotation, "caixa de citação": quotation, "blockquote": quotation, "rquote": quotation, "bquote": quotation, "epígrafe": quotation,
	"sup": script(true), "sub": script(false), "sobrescrito": script(true), "subscrito": script(false), "e": exponent,
	"hlist": list(", "), "flatlist": list(", "), "lista horizontal": list(", "), "ubl": list(", "), "unbulleted list": list(", "), "plain list": list(", "), "ordered list": list(", "), "bulleted list": list(", "),
	"langx": languageOf, "lang-x": languageOf,
}

func init() {
	// {{lang-de|Berlin}} reads "em alemão: Berlin" in the Portuguese Wikipedia.
	for code, name := range languages {
		rendered["lang-"+code] = func(_ *page, c *wikitext.Call) string { return "em " + name + ": " + c.Arg(1) }
	}
}

var languages = map[string]string{
	"af": "africâner", "am": "amárico", "ar": "árabe", "arc": "aramaico", "az": "azeri", "be": "bielorrusso", "bg": "búlgaro", "bn": "bengali", "br": "bretão", "bs": "bósnio", "ca": "catalão", "co": "corso", "cs": "checo", "cy": "galês",
	"da": "dinamarquês", "de": "alemão", "dsb": "baixo-sorábio", "el": "grego", "en": "inglês", "eo": "esperanto", "es": "castelhano", "et": "estoniano", "eu": "basco", "fa": "persa", "fi": "finlandês", "fo": "feroês", "fr": "francês", "fy": "frísio",
	"ga": "irlandês", "gd": "gaélico escocês", "gl": "galego", "gn": "guarani", "grc": "grego clássico", "gu": "guzerate", "he": "hebraico", "hi": "hindi", "hr": "croata", "hsb": "alto-sorábio", "hu": "húngaro", "hy": "arménio", "id": "indonésio", "is": "islandês", "it": "italiano",
	"ja": "japonês", "jv": "javanês", "ka": "georgiano", "kk": "cazaque", "km": "khmer", "ko": "coreano", "ku": "curdo", "ky": "quirguiz", "la": "latim", "lb": "luxemburguês", "lt": "lituano", "lv": "letão", "mi": "maori", "mk": "macedónio", "ml": "malaiala", "mn": "mongol", "mr": "marata", "ms": "malaio", "mt": "maltês",
	"nah": "náuatle", "nds": "baixo-saxão", "nl": "neerlandês", "no": "norueguês", "oc": "occitano", "pa": "panjabi", "pl": "polonês", "pt": "português", "qu": "quíchua", "rm": "romanche", "ro": "romeno", "ru": "russo", "sa": "sânscrito", "sc": "sardo", "sh": "servo-croata", "sk": "eslovaco", "sl": "esloveno", "so": "somali", "sq": "albanês", "sr": "sérvio", "sv": "sueco", "sw": "suaíli",
	"ta": "tâmil", "te": "telugu", "tg": "tajique", "th": "tailandês", "tk": "turcomeno", "tl": "tagalo", "tr": "turco", "tt": "tártaro", "uk": "ucraniano", "ur": "urdu", "uz": "usbeque", "vi": "vietnamita", "wa": "valão", "yi": "iídiche", "zh": "chinês",
}

func languageOf(_ *page, c *wikitext.Call) string {
	if name := languages[strings.ToLower(c.Arg(1))]; name != "" {
		return "em " + name + ": " + c.Arg(2)
	}
	return c.Arg(2)
}

func number(_ *page, c *wikitext.Call) string {
	s := wikitext.GroupDigits(c.Arg(1))
	if unit, ok := c.Get("u"); ok {
		s += " " + unit
	}
	return s
}

// joiners are the words between the values of a range: {{convert|10|to|20|km}}.
var joiners = map[string]string{"to": " a ", "a": " a ", "-": "–", "–": "–", "to(-)": " a ", "and": " e ", "e": " e ", "or": " ou ", "ou": " ou ", "x": " × ", "by": " por ", "por": " por ", "×": " × ", "+/-": " ± ", "±": " ± "}

var units = map[string]string{"km2": "km²", "m2": "m²", "cm2": "cm²", "mi2": "mi²", "sqmi": "mi²", "sqkm": "km²", "sqft": "pés²", "sqm": "m²", "m3": "m³", "km3": "km³", "cm3": "cm³", "ft": "pés", "in": "polegadas", "mi": "milhas", "c": "°C", "f": "°F", "kph": "km/h", "mph": "mi/h", "lb": "libras", "oz": "onças", "acre": "acres", "nmi": "milhas náuticas", "ha": "ha", "yd": "jardas"}

// quantity gives what was measured, not what it is in other units.
func quantity(_ *page, c *wikitext.Call) string {
	var b strings.Builder
	args := c.Unnamed()
	for i := 0; i < len(args); i++ {
		b.WriteString(wikitext.GroupDigits(args[i]))
		if i+2 < len(args) {
			if j, ok := joiners[args[i+1]]; ok {
				b.WriteString(j)
				i++
				continue
			}
		}
		if i+1 < len(args) && args[i+1] != "" {
			u := args[i+1]
			if name, ok := units[strings.ToLower(u)]; ok {
				u = name
			}
			b.WriteString(" " + u)
		}
		break
	}
	return b.String()
}

var months = []string{"janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro"}

// date reads day, month and year; {{morte}} has those of the birth behind them. Ages are
// left out: they would change with the day of the run.
func date(_ *page, c *wikitext.Call) string {
	args := c.Unnamed()
	if len(args) == 1 {
		if p := strings.Split(args[0], "-"); len(p) == 3 && len(p[0]) == 4 { // ISO
			args = []string{p[2], p[1], p[0]}
		} else {
			return args[0]
		}
	}
	if len(args) > 3 {
		args = args[:3]
	}
	if len(args) == 3 && len(args[0]) == 4 { // year first
		args[0], args[2] = args[2], args[0]
	}
	var parts []string
	for i, a := range args {
		n, err := strconv.Atoi(a)
		switch {
		case a == "":
			continue
		case len(args) == 3 && i == 1 && err == nil && n >= 1 && n <= 12:
			a = months[n-1]
		case len(args) == 3 && i == 0 && err == nil:
			if a = strconv.Itoa(n); n == 1 {
				a = "1º"
			}
		}
		parts = append(parts, strings.TrimSpace(a))
	}
	return strings.Join(parts, " de ")
}

func century(_ *page, c *wikitext.Call) string {
	s := "século " + c.Arg(1)
	switch strings.ToLower(strings.Trim(c.Arg(2), ".")) {
	case "a", "ac", "a.c", "a. c":
		s += " a.C."
	case "d", "dc", "d.c", "d. c":
		s += " d.C."
	}
	return s
}

func nihongo(_ *page, c *wikitext.Call) string {
	var inside []string
	for _, n := range []int{2, 3, 4} {
		if a := c.Arg(n); a != "" {
			inside = append(inside, a)
		}
	}
	switch {
	case len(inside) == 0:
		return c.Arg(1)
	case c.Arg(1) == "":
		return strings.Join(inside, ", ")
	}
	return fmt.Sprintf("%s (%s)", c.Arg(1), strings.Join(inside, ", "))
}

func first(c *wikitext.Call, names ...string) string {
	for _, n := range names {
		if v, _ := c.Get(n); v != "" {
			return v
		}
	}
	return ""
}

// quotation gives the words quoted a paragraph of their own, and the author.
func quotation(_ *page, c *wikitext.Call) string {
	text := first(c, "1", "texto", "text", "quote", "citação", "cit", "frase")
	if text == "" {
		return ""
	}
	if !strings.ContainsAny(text[:min(3, len(text))], "\"“”«'") {
		text = "“" + text + "”"
	}
	if by := first(c, "2", "autor", "author", "person", "fonte", "source", "3"); by != "" {
		text += " — " + by
	}
	return "\n\n" + text + "\n\n"
}

func script(super bool) template {
	return func(_ *page, c *wikitext.Call) string {
		if s, ok := wikitext.Script(c.Arg(1), super); ok {
			return s
		}
		return c.Arg(1)
	}
}

// exponent is {{e|6}}: ×10⁶.
func exponent(_ *page, c *wikitext.Call) string {
	if s, ok := wikitext.Script(c.Arg(1), true); ok {
		return " × 10" + s
	}
	return ""
}

func list(sep string) template {
	return func(_ *page, c *wikitext.Call) string {
		var items []string
		for _, a := range c.Unnamed() {
			if a = strings.TrimSpace(strings.TrimLeft(a, "*\n ")); a != "" {
				items = append(items, strings.ReplaceAll(a, "\n*", sep))
			}
		}
		return strings.Join(items, sep)
	}
}
