package dag

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// provValue is a typed literal of PROV-JSON.
type provValue struct {
	Value string `json:"$"`
	Type  string `json:"type"`
}

func provName(s string) provValue { return provValue{s, "prov:QUALIFIED_NAME"} }
func provLong(n int64) provValue  { return provValue{strconv.FormatInt(n, 10), "xsd:long"} }
func provTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
func provDouble(x float64) provValue {
	return provValue{strconv.FormatFloat(x, 'g', -1, 64), "xsd:double"}
}

// WritePROV writes a trace in the PROV-JSON serialisation of the W3C's provenance model
// (https://www.w3.org/submissions/2013/SUBM-prov-json-20130424/): artifacts and source
// files are entities, stages or parts at work are activities, and the program is the
// agent that acted. An entity is named by its place in the run and not by its digest,
// since two stages may make the same bytes. version is the program's.
func WritePROV(w io.Writer, root *Origin, run int64, version string) error {
	type record = map[string]any
	doc := map[string]map[string]any{
		"prefix": {
			"pipeline": "https://github.com/ptbr-slm/pipeline/ns#",
			"dcterms":  "http://purl.org/dc/terms/",
		},
		"entity": {}, "activity": {}, "used": {}, "wasGeneratedBy": {}, "wasAssociatedWith": {},
		"agent": {"pipeline:program": record{"prov:type": provName("prov:SoftwareAgent"), "prov:label": "pipeline " + version}},
	}
	relation := func(kind string, r record) {
		doc[kind]["_:"+kind+strconv.Itoa(len(doc[kind])+1)] = r
	}
	entity := func(name, digest string, r record) string {
		id := fmt.Sprintf("pipeline:run-%d-%s", run, provLocal(name))
		r["prov:label"], r["pipeline:sha256"] = name, digest
		doc["entity"][id] = r
		return id
	}
	entities := map[*Origin][]string{}
	root.Walk(func(o *Origin) {
		if o.By == nil && o.From == nil && len(o.Sources) > 0 {
			for _, f := range o.Sources {
				r := record{"prov:type": provName("pipeline:Source"), "pipeline:bytes": provLong(f.Size)}
				if o.License != "" {
					r["dcterms:license"] = o.License
				}
				if f.URL != "" {
					r["prov:atLocation"] = f.URL
				}
				entities[o] = append(entities[o], entity(o.Name+"/"+f.Name, f.SHA256, r))
			}
			return
		}
		kind := "pipeline:Artifact"
		if o.File != "" {
			kind = "pipeline:File"
		}
		r := record{"prov:type": provName(kind), "pipeline:bytes": provLong(o.Bytes), "pipeline:files": provLong(int64(o.Files))}
		if o.Documents > 0 {
			r["pipeline:documents"] = provLong(o.Documents)
		}
		id := entity(o.ID(), o.Digest, r)
		entities[o] = []string{id}
		if o.By == nil {
			return
		}
		activity := fmt.Sprintf("pipeline:run-%d-%s", run, provLocal(o.By.Stage))
		if o.By.Part != "" && len(o.By.Keys) == 1 {
			activity = "pipeline:part-" + o.By.Keys[0]
		}
		if doc["activity"][activity] == nil {
			a := record{"prov:label": o.By.Stage, "pipeline:kind": o.By.Kind, "pipeline:version": provLong(int64(o.By.Version)),
				"pipeline:config": o.By.Config, "pipeline:parts": provLong(int64(len(o.By.Keys))), "pipeline:seconds": provDouble(o.By.Seconds)}
			if !o.By.Began.IsZero() {
				a["prov:startTime"], a["prov:endTime"] = provTime(o.By.Began), provTime(o.By.Done)
			}
			doc["activity"][activity] = a
			relation("wasAssociatedWith", record{"prov:activity": activity, "prov:agent": "pipeline:program"})
			for _, e := range o.From {
				for _, in := range entities[e.Origin] {
					relation("used", record{"prov:activity": activity, "prov:entity": in, "prov:role": e.Port})
				}
			}
		}
		relation("wasGeneratedBy", record{"prov:entity": id, "prov:activity": activity})
	})
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// provLocal makes a stage's name the local part of a qualified name, whose characters are
// few: others become their hexadecimal number, so that names stay apart.
func provLocal(s string) string {
	var b []byte
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
			b = append(b, c)
		default:
			b = fmt.Appendf(b, "-x%02x", c)
		}
	}
	return string(b)
}
