// Package mediawiki reads the XML dumps of MediaWiki (export schemas 0.3 to 0.11),
// plain or compressed with bzip2 (also multistream), gzip or zstd, in ranges of bytes
// that can be read by different machines.
//
// The pages of a range are those that start in it. For a plain file: the < of <page
// lies in the range. For bzip2: it lies in a block whose first bit lies in the range.
// Ranges that cut a file have each of its pages once, in the order of the file. A
// gzip or zstd file cannot be entered in the middle: the range that begins at 0 has
// all pages, others have none.
//
// The text of a dump is escaped, so that the bytes "<page" stand nowhere but at the
// start of a page (a dump with CDATA sections, which MediaWiki does not write, could
// break that). A page ends at </page>; where another page begins before it, the first
// is malformed, and so damage never spreads to the next page.
package mediawiki

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Kinds of Damage.
const (
	CorruptBlock  = "corrupt-block"  // compressed data that cannot be decoded
	Truncated     = "truncated"      // the file is not whole
	LostPage      = "lost-page"      // a page that a corrupt block or the end of the file cuts off
	MalformedPage = "malformed-page" // XML that is none
	InvalidUTF8   = "invalid-utf8"
)

// MaxPage bounds the XML of one page, in bytes; longer ones are damage. (MediaWiki's own
// limit on a revision is 2 MiB.)
const MaxPage = 64 << 20

// Damage is a part of a dump that cannot be used. The reader can go on after it.
type Damage struct {
	Kind  string
	Where string // in the file
	Page  string // title of the page, when it is known
	Bytes int64  // of the file, or of the page's XML, that are lost
	Past  bool   // another range's business
	Err   error
}

func (d *Damage) Error() string {
	if d.Page != "" {
		return fmt.Sprintf("page %q (%s): %v", d.Page, d.Where, d.Err)
	}
	if d.Kind == LostPage || d.Kind == MalformedPage || d.Kind == InvalidUTF8 {
		return fmt.Sprintf("a page (%s): %v", d.Where, d.Err)
	}
	return d.Err.Error()
}

func (d *Damage) Unwrap() error { return d.Err }

// Reader reads the pages of a range of a dump.
type Reader struct {
	src  chunks
	site *Site

	buf    []byte
	origin []origin // of the stretches of buf, in order
	pos    int      // buf before it is done with
	own    int      // pages that start in buf[:own] are ours; -1: all are
	tail   []byte   // the last bytes read
	gap    bool     // nothing was read since the last damage
	queue  []*Damage
	err    error
}

// origin says where buf[at:] came from.
type origin struct {
	at            int
	offset, delta int64 // as in chunks.where
}

// Open begins to read the pages of r, a file of size bytes, that start in [from, to),
// with as many goroutines as there are cpus. The head of the file, which names the
// wiki and its namespaces, is read whatever the range.
func Open(r io.ReaderAt, size, from, to int64, cpus int) (*Reader, error) {
	site, damage, err := readHead(r, size)
	if err != nil {
		return nil, err
	}
	src, err := open(r, size, from, to, cpus)
	if err != nil {
		return nil, err
	}
	rd := &Reader{src: src, site: site, own: -1}
	if damage != nil && from == 0 {
		rd.queue = append(rd.queue, damage)
	}
	return rd, nil
}

// Site is what the head of the dump says of the wiki.
func (r *Reader) Site() *Site { return r.site }

// Close frees what the reader holds.
func (r *Reader) Close() { r.src.close() }

// Next returns the next page of the range, a *Damage after which it can be called
// again, io.EOF, or an error of the underlying reader.
func (r *Reader) Next() (*Page, error) {
	for {
		if len(r.queue) > 0 {
			d := r.queue[0]
			r.queue = r.queue[1:]
			return nil, d
		}
		if r.err != nil {
			return nil, r.err
		}
		xml, where, ok := r.page()
		if !ok {
			continue
		}
		p, err := parsePage(xml)
		var d *Damage
		if errors.As(err, &d) {
			d.Where, d.Bytes = where, int64(len(xml))
			return nil, d
		}
		p.Where = where
		return p, nil
	}
}

var (
	pageOpen  = []byte("<page")
	pageClose = []byte("</page>")
	dumpClose = []byte("</mediawiki>")
)

const tailBytes = 64

// startOf finds where a page starts in b, at or after i; -1 when nowhere. Without the
// byte after "<page" it cannot tell.
func startOf(b []byte, i int) int {
	for i < len(b) {
		n := bytes.Index(b[i:], pageOpen)
		if n < 0 || i+n+len(pageOpen) >= len(b) {
			return -1
		}
		i += n
		switch b[i+len(pageOpen)] {
		case '>', ' ', '\t', '\n', '\r':
			return i
		}
		i++
	}
	return -1
}

// page returns the XML of the next page. Not ok means: look at queue and err.
func (r *Reader) page() (xml []byte, where string, ok bool) {
	for {
		start := startOf(r.buf, r.pos)
		if start >= 0 {
			r.pos = start
		} else {
			// A "<page" that the end of the buffer cuts stays.
			keep := bytes.LastIndexByte(r.buf[max(r.pos, len(r.buf)-len(pageOpen)):], '<')
			if keep >= 0 {
				keep += max(r.pos, len(r.buf)-len(pageOpen))
			}
			if keep < 0 || !bytes.HasPrefix(pageOpen, r.buf[keep:]) {
				keep = len(r.buf)
			}
			r.pos = keep
		}
		if r.own >= 0 && r.pos >= r.own {
			r.err = io.EOF
			return nil, "", false
		}
		if start >= 0 {
			break
		}
		if !r.more(false) {
			return nil, "", false
		}
	}
	for from := 1; ; { // in the page, before it there is no end
		b := r.buf[r.pos:]
		end := bytes.Index(b[from:], pageClose)
		stop := len(b)
		if end >= 0 {
			stop = from + end
		}
		if n := startOf(b[:stop], from); n >= 0 {
			r.lose(n, MalformedPage, errors.New("another page begins before </page>"))
			return nil, "", false
		}
		if end >= 0 {
			stop += len(pageClose)
			where = r.where(r.pos)
			r.pos += stop
			return b[:stop], where, true
		}
		// The end of the buffer may cut "</page>" or "<page>".
		from = max(from, len(b)-len(pageClose))
		if len(b) > MaxPage {
			r.lose(len(b), MalformedPage, fmt.Errorf("no </page> within %d MiB", MaxPage>>20))
			return nil, "", false
		}
		if !r.more(true) {
			return nil, "", false
		}
	}
}

// more reads another chunk behind what is left of buf. Where it cannot, what stands in
// buf is lost, and the page in it, if there is one.
func (r *Reader) more(inPage bool) bool {
	c, err := r.src.next()
	var d *Damage
	switch {
	case err == nil:
		r.shift()
		if c.past && r.own < 0 {
			r.own = len(r.buf)
		}
		r.origin = append(r.origin, origin{len(r.buf), c.offset, 0})
		r.buf = append(r.buf, c.data...)
		r.tail = append(r.tail, c.data[max(0, len(c.data)-tailBytes):]...)
		r.tail = r.tail[max(0, len(r.tail)-tailBytes):]
		r.gap = false
		return true
	case errors.As(err, &d):
		if !d.Past {
			r.queue = append(r.queue, d)
		}
		if inPage {
			r.lose(len(r.buf)-r.pos, LostPage, fmt.Errorf("it is cut off: %w", d))
		}
		r.pos, r.gap, r.tail = len(r.buf), true, nil
		if d.Past && r.own < 0 {
			r.own = r.pos
		}
	case errors.Is(err, io.EOF):
		r.err = io.EOF
		if inPage {
			r.lose(len(r.buf)-r.pos, LostPage, errors.New("it is cut off: the file ends before </page>"))
		} else if t := bytes.TrimSpace(r.tail); r.site.root && !r.gap && len(t) > 0 && !bytes.HasSuffix(t, dumpClose) && (len(r.tail) == tailBytes || !bytes.HasSuffix(dumpClose, t)) {
			r.queue = append(r.queue, &Damage{Kind: Truncated, Where: "the end of the file", Err: fmt.Errorf("the dump is cut off: it ends in %q, not in %q", t[max(0, len(t)-20):], dumpClose)})
		}
	default:
		r.err = err
	}
	return false
}

// lose gives up n bytes of buf, which are a page.
func (r *Reader) lose(n int, kind string, err error) {
	r.queue = append(r.queue, &Damage{Kind: kind, Where: r.where(r.pos), Page: roughTitle(r.buf[r.pos : r.pos+n]), Bytes: int64(n), Err: err})
	r.pos += n
}

// shift drops what buf holds before pos.
func (r *Reader) shift() {
	n := copy(r.buf, r.buf[r.pos:])
	r.buf = r.buf[:n]
	if r.own >= 0 {
		r.own = max(0, r.own-r.pos)
	}
	kept := r.origin[:0]
	for i, o := range r.origin {
		if i+1 < len(r.origin) && r.origin[i+1].at <= r.pos {
			continue
		}
		if o.at -= r.pos; o.at < 0 {
			o.delta -= int64(o.at)
			o.at = 0
		}
		if n > 0 {
			kept = append(kept, o)
		}
	}
	r.origin, r.pos = kept, 0
}

func (r *Reader) where(at int) string {
	var o origin
	for _, x := range r.origin {
		if x.at > at {
			break
		}
		o = x
	}
	return r.src.where(o.offset, o.delta+int64(at-o.at))
}
