package page

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/stages/page/pagetest"
)

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		Integer(0): "0", Integer(999): "999", Integer(1000): "1,000", Integer(-1234567): "-1,234,567",
		Decimal(1234.567, 2): "1,234.57", Decimal(-0.25, 1): "-0.2", Decimal(0.5, 0): "0", Decimal(1e300, 1): fixed(1e300, 1),
		Percent(0.1234): "12.3 %", Bytes(1023): "1,023 B", Bytes(1536): "1.5 KiB", Bytes(5 << 30): "5.0 GiB",
		compact(1500): "1.5k", compact(2e7): "20M", compact(0.25): "0.25", compact(100): "100", compact(-2000): "-2k",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNiceTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   []float64
	}{
		{0, 10, []float64{0, 5, 10}},
		{0, 133, []float64{0, 50, 100, 150}},
		{2.1, 9.9, []float64{2, 4, 6, 8, 10}},
		{-3, 3, []float64{-4, -2, 0, 2, 4}},
		{5, 5, []float64{5, 5.5, 6}},
	} {
		ticks, end := niceTicks(c.lo, c.hi, 4)
		if !slices.Equal(ticks, c.want) || end != ticks[len(ticks)-1] {
			t.Errorf("%v to %v: %v, want %v", c.lo, c.hi, ticks, c.want)
		}
	}
}

func render(t *testing.T, blocks ...Block) string {
	t.Helper()
	var b strings.Builder
	p := Page{Title: "T & T", Sections: []Section{{ID: "s", Title: "S", Blocks: blocks}}}
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBlocksAreDrawn(t *testing.T) {
	html := render(t,
		Table{Caption: "C", Columns: []Column{Col("a"), Num("b", "hint")}, Rows: [][]Cell{{Words("<x>"), Share("1", 2)}}, Note: "N"},
		Bars{Title: "B", X: "x", Y: "y", Bins: []Bin{{Label: "1", Count: 3}, {Label: "2", Range: "2–3", Count: 0}, {Label: "4", Count: 1}}},
		Curves{Title: "L", X: "x", Y: "y", Lines: []Line{{Name: "loss", X: []float64{0, 1, 2}, Y: []float64{3, math.NaN(), 1}, Style: Dotted}}},
		Fold{Summary: "F", Blocks: []Block{Excerpts{{Label: "l", Text: "a\n<b>"}}}},
		Pair{Text("one"), Text("two & three")},
	)
	pagetest.Check(t, html)
	for _, want := range []string{
		"<title>T &amp; T</title>", `<section id="s" aria-labelledby="s-h">`, `<caption>C</caption>`, `<th scope="row">&lt;x&gt;`,
		`<th scope="col" class="n" title="hint">b</th>`, `style="width:100.0%"`, `aria-label="B. 4 y in 3 bins; the fullest, 1, holds 3."`,
		"<title>1: 3</title>", "loss goes from 3 at 0 to 1 at 2", "<summary>F</summary>", "a\n&lt;b&gt;</blockquote>", "<p>two &amp; three</p>",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if n := strings.Count(html, "<circle"); n != 2 {
		t.Errorf("%d points are marked, want the 2 finite ones", n)
	}
}

func TestEmptyDrawings(t *testing.T) {
	html := render(t, Bars{Title: "No bars", Bins: []Bin{{Label: "1"}}}, Curves{Title: "No lines", Lines: []Line{{X: []float64{math.Inf(1)}, Y: []float64{1}}}})
	if !strings.Contains(html, "No bars: nothing to count.") || !strings.Contains(html, "No lines: no points.") || strings.Contains(html, "<svg") {
		t.Error("empty drawings are not said in words")
	}
}

func TestLongCurvesAreThinned(t *testing.T) {
	x := make([]float64, 100_000)
	for i := range x {
		x[i] = float64(i)
	}
	html := render(t, Curves{Title: "L", Lines: []Line{{Name: "y", X: x, Y: x}}})
	if len(html) > 40_000 {
		t.Errorf("a curve of %d points takes %d bytes", len(x), len(html))
	}
	var b strings.Builder
	p := Page{Sections: []Section{{Blocks: []Block{Curves{Lines: []Line{{X: x, Y: nil}}}}}}}
	if _, err := p.WriteTo(&b); err == nil {
		t.Error("a curve without y was drawn")
	}
}
