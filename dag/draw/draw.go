// Package draw draws a pipeline's graph: text for the terminal, DOT and Mermaid for
// other programs, SVG for a page.
package draw

import (
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// Format is a way to draw.
type Format string

// The formats, and their names in the order that help shows them.
const (
	Text    Format = "text"
	DOT     Format = "dot"
	Mermaid Format = "mermaid"
	SVG     Format = "svg"
)

// Formats lists all formats.
var Formats = []Format{Text, DOT, Mermaid, SVG}

// vertex is a source or a stage.
type vertex struct {
	id, name, kind string // kind is empty for a source
	layer          int
	in             []edge
}

type edge struct {
	from *vertex
	port string // output port; empty for a source
}

// Draw writes the graph of p in a format.
func Draw(w io.Writer, p *pipelinefile.Pipeline, f Format) error {
	v := vertices(p)
	var b strings.Builder
	switch f {
	case Text:
		drawText(&b, v)
	case DOT:
		drawDOT(&b, p.Name, v)
	case Mermaid:
		drawMermaid(&b, v)
	case SVG:
		drawSVG(&b, p.Name, v)
	default:
		return fmt.Errorf("unknown graph format %q; there are text, dot, mermaid, svg", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// vertices lists the sources in use, then the stages, in topological order, each one
// layer below the lowest thing it reads.
func vertices(p *pipelinefile.Pipeline) []*vertex {
	var r []*vertex
	by := map[string]*vertex{}
	for i := range p.Sources {
		name := "sources." + p.Sources[i].Name
		v := &vertex{id: fmt.Sprintf("v%d", len(r)), name: name}
		by[name] = v
		r = append(r, v)
	}
	used := map[*vertex]bool{}
	for i := range p.Stages {
		s := &p.Stages[i]
		v := &vertex{id: fmt.Sprintf("v%d", len(r)), name: s.Name, kind: s.Kind.Name}
		for _, port := range s.Kind.In {
			for _, ref := range s.From[port.Name] {
				from := by[ref.Stage]
				if ref.Source != "" {
					from = by["sources."+ref.Source]
				}
				if from == nil {
					continue // left out by `when: false`
				}
				v.in = append(v.in, edge{from, ref.Port})
				v.layer = max(v.layer, from.layer+1)
				used[from] = true
			}
		}
		by[s.Name] = v
		r = append(r, v)
	}
	var shown []*vertex
	for _, v := range r {
		if v.kind != "" || used[v] {
			shown = append(shown, v)
		}
	}
	return shown
}

func drawText(b *strings.Builder, vs []*vertex) {
	width := 0
	for _, v := range vs {
		width = max(width, len(v.name))
	}
	for _, v := range vs {
		if v.kind == "" {
			fmt.Fprintf(b, "%s\n", v.name)
			continue
		}
		var from []string
		for _, e := range v.in {
			from = append(from, e.label())
		}
		fmt.Fprintf(b, "%-*s  %-16s ← %s\n", width, v.name, v.kind, strings.Join(from, ", "))
	}
}

func (e edge) label() string {
	if e.port == "" {
		return e.from.name
	}
	return e.from.name + "." + e.port
}

func drawDOT(b *strings.Builder, name string, vs []*vertex) {
	fmt.Fprintf(b, "digraph %q {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n", name)
	for _, v := range vs {
		if v.kind == "" {
			fmt.Fprintf(b, "  %s [label=%q, shape=cylinder];\n", v.id, strings.TrimPrefix(v.name, "sources."))
		} else {
			fmt.Fprintf(b, "  %s [label=%q];\n", v.id, v.title("\n"))
		}
	}
	for _, v := range vs {
		for _, e := range v.in {
			fmt.Fprintf(b, "  %s -> %s [label=%q];\n", e.from.id, v.id, e.port)
		}
	}
	b.WriteString("}\n")
}

// title is a stage's name, with its kind where that says more.
func (v *vertex) title(sep string) string {
	if v.kind == v.name || v.kind == "" {
		return strings.TrimPrefix(v.name, "sources.")
	}
	return v.name + sep + v.kind
}

func drawMermaid(b *strings.Builder, vs []*vertex) {
	b.WriteString("flowchart LR\n")
	for _, v := range vs {
		label := strings.ReplaceAll(html.EscapeString(v.title("<br/>")), "&lt;br/&gt;", "<br/>")
		if v.kind == "" {
			fmt.Fprintf(b, "  %s[(\"%s\")]\n", v.id, label)
		} else {
			fmt.Fprintf(b, "  %s[\"%s\"]\n", v.id, label)
		}
	}
	for _, v := range vs {
		for _, e := range v.in {
			if e.port == "" {
				fmt.Fprintf(b, "  %s --> %s\n", e.from.id, v.id)
			} else {
				fmt.Fprintf(b, "  %s -- %s --> %s\n", e.from.id, e.port, v.id)
			}
		}
	}
}
