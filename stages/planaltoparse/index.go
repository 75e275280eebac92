package planaltoparse

import (
	"fmt"
	"path"
	"strings"
)

// entry is what the index says of a law.
type entry struct{ name, url string }

// index finds laws by the names of their files and by those at the end of their
// addresses, in lower case.
type index map[string]entry

// readIndex reads lines of file, name and url with tabs between, under a heading that
// says so. A remark in parentheses may stand before the file.
func readIndex(s string) (index, error) {
	x := index{}
	for i, line := range strings.Split(strings.ReplaceAll(s, "\r", ""), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			return nil, fmt.Errorf("line %d has %d fields with tabs between; it must have 3: file, name, url", i+1, len(f))
		}
		if i == 0 {
			if f[0] != "file" || f[1] != "name" || f[2] != "url" {
				return nil, fmt.Errorf("line 1 is %q; it must be the heading file, name, url", line)
			}
			continue
		}
		e := entry{strings.TrimSpace(f[1]), strings.TrimSpace(f[2])}
		if strings.HasPrefix(f[0], "(") { // a remark before the name
			_, f[0], _ = strings.Cut(f[0], ")")
		}
		file := strings.ToLower(path.Base(strings.TrimSpace(f[0])))
		if old, ok := x[file]; ok {
			return nil, fmt.Errorf("line %d: %s is listed twice, as %q and %q", i+1, file, old.name, e.name)
		}
		x[file] = e
		if at := strings.ToLower(path.Base(e.url)); at != "." {
			if _, ok := x[at]; !ok {
				x[at] = e
			}
		}
	}
	return x, nil
}

func (x index) find(file string) (entry, bool) {
	e, ok := x[strings.ToLower(path.Base(file))]
	return e, ok
}
