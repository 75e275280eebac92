// Package filter is the stage kind filter: it measures documents, tags them, and drops
// those that break a rule of their profile.
package filter

import (
	"context"
	"math"
	"slices"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/langid"
	"github.com/ptbr-slm/pipeline/corpus/pii"
	"github.com/ptbr-slm/pipeline/corpus/quality"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Run filters one shard.
func (f *Filter) Run(ctx context.Context, t stage.Task) error {
	kept, dropped := docs.NewWriter(t, "docs", 0), docs.NewWriter(t, "dropped", 0)
	report := corpus.NewReport(Kind.Name)
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		report.Enter(d)
		if f.judge(d, report, t.Seed()) {
			report.Leave(d)
			return kept.Write(d)
		}
		return dropped.Write(d)
	})
	if err != nil {
		return err
	}
	if err := kept.Close(); err != nil {
		return err
	}
	if err := dropped.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, report)
}

// judge tags a document and says whether it stays.
func (f *Filter) judge(d *corpus.Document, report *corpus.Report, seed uint64) bool {
	p := f.plan(d)
	f.private(d, p, report)
	shares := langid.Default().Shares(d.Text)
	m := &measured{Text: quality.New(d.Text), stop: f.stop}
	main := langid.Share{Language: langid.Unknown}
	for _, s := range shares {
		if s.Share > main.Share {
			main = s
		}
		if s.Language == f.c.Language {
			m.language = s.Share
		}
	}
	values := make([]float64, len(rules))
	known := map[string]float64{}
	var broken []string
	for i := range rules {
		r := &rules[i]
		v, ok := known[r.measure]
		if !ok {
			v = r.value(m)
			known[r.measure] = v
		}
		values[i] = v
		if p.on[i] && r.breaks(v, p.limits[i]) {
			broken = append(broken, r.name)
		}
	}
	stays := len(broken) == 0 || f.c.Action == "tag"
	for i := range rules {
		r := &rules[i]
		switch {
		case slices.Contains(broken, r.name):
			report.Touch(r.name, d.Source, 1, int64(len(d.Text)))
			report.Sample(seed, r.name+"/broken", d, d.Text)
		case stays && p.on[i] && r.close(values[i], p.limits[i]):
			report.Sample(seed, r.name+"/close", d, d.Text)
		}
	}
	report.Number("profile "+p.name, d.Source, 1)
	if f.c.Tag {
		tags := map[string]any{}
		for name, v := range known {
			tags[name] = math.Round(v*1e4) / 1e4
		}
		d.SetMeta("quality", tags)
		d.SetMeta("language", main.Language)
	}
	switch {
	case len(broken) == 0:
	case stays:
		d.SetMeta("broken", broken)
	default:
		d.SetMeta("dropped", broken)
	}
	return stays
}

// private finds personal data, tags the document with their number by kind, and masks
// them where the profile says so.
func (f *Filter) private(d *corpus.Document, p *plan, report *corpus.Report) {
	if p.pii == "off" {
		return
	}
	found := pii.Find(d.Text)
	if len(found) == 0 {
		return
	}
	count, bytes := map[pii.Kind]int64{}, map[pii.Kind]int64{}
	for _, m := range found {
		count[m.Kind]++
		bytes[m.Kind] += int64(m.End - m.Start)
	}
	tags := map[string]any{}
	for _, k := range pii.Kinds {
		if count[k] > 0 {
			tags[string(k)] = count[k]
			report.Touch("pii-"+string(k), d.Source, count[k], bytes[k])
		}
	}
	d.SetMeta("pii", tags)
	if p.pii == "mask" {
		d.Text = pii.Mask(d.Text, found)
	}
}
