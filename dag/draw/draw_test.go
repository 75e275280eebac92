package draw

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// example has a source that two stages read, a matrix, and a line that passes a layer.
func example() *pipelinefile.Pipeline {
	docs := stage.Port{Name: "docs", Many: true}
	parse := &stage.Kind{Name: "parse", In: []stage.Port{{Name: "files"}}}
	clean := &stage.Kind{Name: "clean", In: []stage.Port{docs}}
	audit := &stage.Kind{Name: "audit", In: []stage.Port{docs}}
	ref := func(s string) []pipelinefile.Ref { return []pipelinefile.Ref{{Stage: s, Port: "docs"}} }
	return &pipelinefile.Pipeline{Name: "a<b", Sources: []pipelinefile.Source{{Name: "texts"}, {Name: "unused"}}, Stages: []pipelinefile.Stage{
		{Name: "books", Kind: parse, From: map[string][]pipelinefile.Ref{"files": {{Source: "texts"}}}},
		{Name: "clean[x]", Kind: clean, From: map[string][]pipelinefile.Ref{"docs": ref("books")}},
		{Name: "audit", Kind: audit, From: map[string][]pipelinefile.Ref{"docs": append(ref("clean[x]"), ref("books")...)}},
	}}
}

func TestText(t *testing.T) {
	want := `sources.texts
books          parse            ← sources.texts
clean[x]       clean            ← books.docs
audit          audit            ← clean[x].docs, books.docs
`
	if got := drawn(t, Text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDOT(t *testing.T) {
	want := `digraph "a<b" {
  rankdir=LR;
  node [shape=box, style=rounded, fontname="sans-serif"];
  v0 [label="texts", shape=cylinder];
  v2 [label="books\nparse"];
  v3 [label="clean[x]\nclean"];
  v4 [label="audit"];
  v0 -> v2 [label=""];
  v2 -> v3 [label="docs"];
  v3 -> v4 [label="docs"];
  v2 -> v4 [label="docs"];
}
`
	if got := drawn(t, DOT); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMermaid(t *testing.T) {
	want := `flowchart LR
  v0[("texts")]
  v2["books<br/>parse"]
  v3["clean[x]<br/>clean"]
  v4["audit"]
  v0 --> v2
  v2 -- docs --> v3
  v3 -- docs --> v4
  v2 -- docs --> v4
`
	if got := drawn(t, Mermaid); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestSVG holds that the picture is XML, has every box and line, and that the line from
// books to audit has a lane beside clean[x] instead of crossing it.
func TestSVG(t *testing.T) {
	got := drawn(t, SVG)
	d := xml.NewDecoder(strings.NewReader(got))
	n := map[string]int{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := tok.(xml.StartElement); ok {
			n[s.Name.Local]++
		}
	}
	if n["rect"] != 4 || n["path"] != 4 {
		t.Errorf("%d boxes and %d lines, want 4 and 4", n["rect"], n["path"])
	}
	layers, _ := layOut(vertices(example()))
	if len(layers) != 4 || len(layers[2]) != 2 {
		t.Errorf("%d layers; the third has %d places, want 4 and 2", len(layers), len(layers[2]))
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := Draw(io.Discard, example(), "png"); err == nil || !strings.Contains(err.Error(), "text, dot, mermaid, svg") {
		t.Errorf("error %v", err)
	}
}

func drawn(t *testing.T, f Format) string {
	t.Helper()
	var b strings.Builder
	if err := Draw(&b, example(), f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Names that come from a matrix may hold anything; in no format do they end a string or
// begin an element.
func TestHostileNames(t *testing.T) {
	const attack = `"]; x -> y [label="</text></svg><script>alert(1)</script>` + "\n%% --> \\"
	p := example()
	p.Name = attack
	for i := range p.Stages {
		old := p.Stages[i].Name
		p.Stages[i].Name += attack
		for j := range p.Stages {
			for _, refs := range p.Stages[j].From {
				for k := range refs {
					if refs[k].Stage == old {
						refs[k].Stage += attack
					}
				}
			}
		}
	}
	for _, f := range []Format{DOT, Mermaid, SVG} {
		var b strings.Builder
		if err := Draw(&b, p, f); err != nil {
			t.Fatal(err)
		}
		outside := regexp.MustCompile(map[Format]string{DOT: `"(\\.|[^"\\])*"`, Mermaid: `"[^"]*"`, SVG: `>[^<]*<`}[f]).ReplaceAllString(b.String(), "")
		if strings.Contains(outside, "script") || strings.Contains(outside, "x -> y") {
			t.Errorf("%s leaves its string:\n%s", f, outside)
		}
		if f == SVG {
			d := xml.NewDecoder(strings.NewReader(b.String()))
			for {
				tok, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("the picture is no XML: %v", err)
				}
				if s, ok := tok.(xml.StartElement); ok && s.Name.Local == "script" {
					t.Error("there is a script")
				}
			}
		}
	}
}
