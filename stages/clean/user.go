package clean

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

// UserRule is a rule written in the pipeline file.
type UserRule struct {
	Name    string `json:"name" jsonschema:"minLength=1" jsonschema_description:"what the report calls it"`
	Match   string `json:"match" jsonschema:"minLength=1" jsonschema_description:"regular expression (.NET syntax, as regexp2 has it: look-around, back-references)"`
	Replace string `json:"replace" jsonschema_description:"what takes the place of each match; $1 or ${name} for groups"`
	Per     string `json:"per" jsonschema:"enum=line,enum=document,default=line" jsonschema_description:"match in each line, without its newline, or in the whole text"`
}

type userRule struct {
	UserRule
	re *regexp2.Regexp
}

func compile(list []UserRule, timeout int) (out []userRule, err error) {
	var errs []error
	seen := map[string]bool{}
	for i, r := range list {
		at := fmt.Sprintf("user-rules[%d]", i)
		if r.Name == "" {
			errs = append(errs, fmt.Errorf("%s has no name", at))
		} else if at = fmt.Sprintf("user rule %q", r.Name); seen[r.Name] {
			errs = append(errs, fmt.Errorf("%s is there twice", at))
		}
		seen[r.Name] = true
		switch r.Per {
		case "":
			r.Per = "line"
		case "line", "document":
		default:
			errs = append(errs, fmt.Errorf("%s: per is %q; it can be line or document", at, r.Per))
		}
		re, err := regexp2.Compile(r.Match, regexp2.None)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: match: %w", at, err))
			continue
		}
		if r.Match == "" {
			errs = append(errs, fmt.Errorf("%s: match is empty", at))
		}
		re.MatchTimeout = time.Duration(timeout) * time.Millisecond
		out = append(out, userRule{r, re})
	}
	return out, errors.Join(errs...)
}

func (u *userRule) apply(p *page) (c wikitext.Count, err error) {
	if u.Per == "document" {
		p.S, err = u.replace(p.S, &c)
		return c, err
	}
	var b strings.Builder
	b.Grow(len(p.S))
	for line := range strings.Lines(p.S) {
		body := strings.TrimSuffix(line, "\n")
		s, err := u.replace(body, &c)
		if err != nil {
			return c, err
		}
		b.WriteString(s)
		b.WriteString(line[len(body):])
	}
	if c.Matches > 0 {
		p.S = b.String()
	}
	return c, nil
}

func (u *userRule) replace(s string, c *wikitext.Count) (string, error) {
	var matches, bytes int64
	m, err := u.re.FindStringMatch(s)
	for ; m != nil && err == nil; m, err = u.re.FindNextMatch(m) {
		matches++
		bytes += int64(len(m.String()))
	}
	if err == nil && matches == 0 {
		return s, nil
	}
	var out string
	if err == nil {
		out, err = u.re.Replace(s, u.Replace, -1, -1)
	}
	if err != nil {
		return s, fmt.Errorf("user rule %q took longer than its match-timeout of %v on a text of %d bytes that begins %.40q: make the expression simpler (nested repetition is what usually takes long), or raise match-timeout: %w",
			u.Name, u.re.MatchTimeout, len(s), s, err)
	}
	c.Matches += matches
	c.Bytes += bytes
	return strings.ToValidUTF8(out, "\uFFFD"), nil
}
