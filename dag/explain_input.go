package dag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// listed is what the parts of a stage read through one port.
type listed struct {
	files []FileKey
	// inOrder says that all who read the port read just these files in this order. Else
	// the parts read one file or some, and their union stands here, each file once.
	inOrder bool
}

// UnmarshalJSON takes what MarshalJSON wrote.
func (f *FileKey) UnmarshalJSON(b []byte) error {
	var s []string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*f = FileKey{}
	copy(f[:], s)
	return nil
}

// files gives the files of a Listing.
func (p *past) files(l Listing) ([]FileKey, error) {
	if l.Digest == "" {
		return l.Files, nil
	}
	if files, ok := p.lists[l.Digest]; ok {
		return files, nil
	}
	b, err := p.ledger.Config(l.Digest)
	if err != nil {
		return nil, err
	}
	var files []FileKey
	if err := json.Unmarshal(b, &files); err != nil {
		return nil, fmt.Errorf("ledger: list %s: %w", l.Digest, err)
	}
	if p.lists == nil {
		p.lists = map[string][]FileKey{}
	}
	p.lists[l.Digest] = files
	return files, nil
}

// read is what the stage read through a port in its last run.
func (p *past) read(port string) (listed, error) {
	by := p.parts
	if len(p.joins) > 0 {
		if _, ok := p.joins[0].Inputs[port]; ok {
			by = p.joins[:1]
		}
	}
	var lists [][]FileKey
	seen := map[string]bool{}
	for i := range by {
		l, ok := by[i].Inputs[port]
		if !ok || l.Digest != "" && seen[l.Digest] {
			continue
		}
		seen[l.Digest] = true
		files, err := p.files(l)
		if err != nil {
			return listed{}, err
		}
		lists = append(lists, files)
	}
	return together(lists), nil
}

// reading is what the stage reads through a port now. known is false as long as only the
// join, which is not there yet, could tell.
func (n *node) reading(port stage.Port) (l listed, of map[FileKey]file, known bool) {
	by := n.parts
	if n.join != nil {
		by = joinOf(n)
	} else if _, in := n.Kind.Input(port.Name); port.Join || !in {
		return l, nil, false
	}
	of = map[FileKey]file{}
	var lists [][]FileKey
	var last []file
	for _, q := range by {
		files := q.reads[port.Name]
		if len(lists) > 0 && len(files) == len(last) && (len(files) == 0 || &files[0] == &last[0]) {
			continue // the same list, not one like it
		}
		last = files
		keys := make([]FileKey, len(files))
		for i, f := range files {
			keys[i] = fileKey(f.File)
			of[keys[i]] = f
		}
		lists = append(lists, keys)
	}
	return together(lists), of, true
}

func together(lists [][]FileKey) (l listed) {
	if len(lists) == 0 {
		return listed{inOrder: true}
	}
	same := true
	for _, o := range lists[1:] {
		if same = slices.Equal(o, lists[0]); !same {
			break
		}
	}
	if same {
		return listed{lists[0], true}
	}
	seen := map[FileKey]bool{}
	for _, o := range lists {
		for _, f := range o {
			if !seen[f] {
				seen[f] = true
				l.files = append(l.files, f)
			}
		}
	}
	return l
}

// input adds what differs in the files of a port: their content; failing that, their
// names or origins where the kind looks at these; failing that, their order.
func (p *past) input(n *node, port stage.Port, rs []Reason) ([]Reason, error) {
	was, err := p.read(port.Name)
	if err != nil {
		return nil, err
	}
	is, of, known := n.reading(port)
	if !known {
		return rs, nil
	}
	added, removed := less(is, was), less(was, is)
	if port.Name == n.Kind.Map && !n.closed {
		removed = nil // may come yet
	}
	var renamed, moved [][2]FileKey
	added = slices.DeleteFunc(added, func(a FileKey) bool {
		i := slices.IndexFunc(removed, func(r FileKey) bool { return r[0] == a[0] })
		if i < 0 {
			return false
		}
		r := removed[i]
		removed = slices.Delete(removed, i, i+1)
		if r[1] != a[1] {
			renamed = append(renamed, [2]FileKey{r, a})
		}
		if r[2] != a[2] {
			moved = append(moved, [2]FileKey{r, a})
		}
		return true
	})
	what, at := n.wired(port.Name)
	total := len(is.files)
	component := "input." + port.Name
	switch {
	case len(added)+len(removed) > 0:
		r := contentReason(what, total, added, removed, of)
		r.Component, r.Where = component, at
		return append(rs, r), nil
	case len(renamed)+len(moved) > 0:
		if len(moved) > 0 {
			old, now := moved[0][0], moved[0][1]
			rs = append(rs, Reason{component + ".origin", old[2], now[2], at,
				fmt.Sprintf("%s: %s the same content from elsewhere: %s → %s", what, have(len(moved), total), old[2], now[2])})
		}
		if len(renamed) > 0 {
			old, now := renamed[0][0], renamed[0][1]
			rs = append(rs, Reason{component + ".name", old[1], now[1], at,
				fmt.Sprintf("%s: %s another name and the same content: %s → %s", what, have(len(renamed), total), old[1], now[1])})
		}
		return rs, nil
	case was.inOrder && is.inOrder && !slices.Equal(was.files, is.files):
		return append(rs, Reason{Component: component + ".order", Where: at, Text: fmt.Sprintf("%s: the same %s in another order", what, fileCount(total))}), nil
	}
	return rs, nil
}

// wired words what a port is wired to, and where the pipeline file says so.
func (n *node) wired(port string) (what, at string) {
	var from []string
	for _, f := range n.feeds[port] {
		from = append(from, f.ref.String())
		if at == "" {
			at = place(f.ref.Pos)
		}
	}
	what = "input " + port
	if len(from) > 0 {
		what += " from " + strings.Join(from, ", ")
	}
	return what, at
}

// less lists what is in a and not in b, as often as it is where both are in order.
func less(a, b listed) (r []FileKey) {
	n := map[FileKey]int{}
	for _, f := range b.files {
		n[f]++
	}
	count := a.inOrder && b.inOrder
	for _, f := range a.files {
		if n[f] == 0 {
			r = append(r, f)
		} else if count {
			n[f]--
		}
	}
	return r
}

// contentReason words that files came and went.
func contentReason(what string, total int, added, removed []FileKey, of map[FileKey]file) (r Reason) {
	sort.SliceStable(removed, func(i, j int) bool { return removed[i][0] < removed[j][0] })
	// Old and new belong together when they have the same name, or when one file only
	// took the place of one.
	paired := len(added) == 1 && len(removed) == 1
	for i := 0; i < len(added) && !paired; i++ {
		j := slices.IndexFunc(removed, func(k FileKey) bool { return k[1] != "" && k[1] == added[i][1] })
		if j >= 0 {
			added[0], added[i], removed[0], removed[j] = added[i], added[0], removed[j], removed[0]
			paired = true
		}
	}
	name := ""
	if len(added) > 0 {
		r.New = added[0][0]
		if f := of[added[0]]; f.path != "" {
			name = fromHere(f.path)
		} else {
			name = cmp.Or(f.Name, f.Stats.First)
		}
	} else {
		name = removed[0][1]
	}
	if paired || len(added) == 0 {
		r.Old = removed[0][0]
	}
	if name != "" {
		name += " "
	}
	switch {
	case len(added) == 0 && total == 0:
		r.Text = fmt.Sprintf("%s: there was %sbefore (%s), now there is none", what, name, first(len(removed), r.Old))
	case len(removed) == 0 && total == len(added):
		r.Text = fmt.Sprintf("%s: there was no file before; there is %s(%s)", what, name, first(len(added), r.New))
	case len(added) == 0:
		r.Text = fmt.Sprintf("%s: %s gone, the first was %s(%.12s)", what, are(len(removed), 0), name, r.Old)
	case len(removed) == 0:
		r.Text = fmt.Sprintf("%s: %s new, the first is %s(%.12s)", what, are(len(added), total), name, r.New)
	case !paired:
		r.Text = fmt.Sprintf("%s: %s new and %s gone, the first new one is %s(%.12s)", what, are(len(added), total), are(len(removed), 0), name, r.New)
	case total == 1:
		r.Text = fmt.Sprintf("%s: %schanged (%.12s → %.12s)", what, name, r.Old, r.New)
	default:
		r.Text = fmt.Sprintf("%s: %d of %s changed, the first is %s(%.12s → %.12s)", what, len(added), fileCount(total), name, r.Old, r.New)
	}
	return r
}

// first is the digest of the first of n files.
func first(n int, digest string) string {
	if n == 1 {
		return fmt.Sprintf("%.12s", digest)
	}
	return fmt.Sprintf("the first of %s, %.12s", fileCount(n), digest)
}

// are says "1 file is", "3 files are", or of a total "3 of 12 files are".
func are(n, total int) string {
	verb := " are"
	if n == 1 {
		verb = " is"
	}
	if total > 0 {
		return fmt.Sprintf("%d of %s%s", n, fileCount(total), verb)
	}
	return fileCount(n) + verb
}

func have(n, total int) string {
	if n == 1 {
		return fmt.Sprintf("1 of %s has", fileCount(total))
	}
	return fmt.Sprintf("%d of %s have", n, fileCount(total))
}

func fileCount(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// fromHere is a path from the working directory on, where that is shorter.
func fromHere(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && len(r) < len(path) {
			return r
		}
	}
	return path
}
