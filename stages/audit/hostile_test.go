package audit

import (
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/stages/page/pagetest"
)

// Documents that attack the report's reader: ids, titles, sources, licences and text all
// come from outside, and all of them stand in report.html.
func TestHostileDocuments(t *testing.T) {
	const attack = `"'></style><script>alert(1)</script><img src=x onerror=alert(1)>`
	docs := documents(t)
	for i := range docs {
		if i%2 == 0 {
			d := &docs[i]
			d.ID, d.Title, d.License, d.URL = attack+d.ID, attack, attack, "javascript:alert(1)"
			d.Text = attack + "\n" + strings.Repeat(attack+" ", 30) + "\n" + d.Text + "\n" + attack
		}
		docs[i].Source = strings.ReplaceAll(docs[i].Source, "wiki", attack)
	}
	r := stagetest.Run(t, Kind, Kind.Config, map[string][]stagetest.Input{"docs": {stagetest.Shard(t, docs...)}, "reports": reports(t, docs), "tokenizer": {vocabulary(t, docs)}})
	for _, o := range r.Out["report"] {
		if o.Name != "report.html" {
			continue
		}
		pagetest.Check(t, string(o.Data))
		if !strings.Contains(string(o.Data), "&lt;script&gt;alert(1)") {
			t.Error("the attack is not in the report at all: the test tests nothing")
		}
		return
	}
	t.Error("there is no report.html")
}
