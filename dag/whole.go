package dag

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// When nothing of a stage changed, nothing of it need be looked at part by part. A run
// that has all parts of a stage keeps what came of them under one key, the digest of what
// all their keys are made of: the settings, and of each input the artifact instead of
// the files. The next run asks for that key first, and cuts the stage into parts only
// when it is not known or an object of it is gone.
//
// It is a shorter way to the same answer: such a key is known only if the key of each
// part is. Where a stage above has something to run this way is not tried, since parts
// below start as those above are published.

// wholeFormat keeps apart what different versions of this file have kept. What the first kept
// may be of a stage that was cut before its inputs were there.
const wholeFormat = 2

// wholeKey is what the key of a whole stage is the digest of.
type wholeKey struct {
	Format  int                 `json:"format"`
	Engine  int                 `json:"engine"`
	Kind    string              `json:"kind"`
	Version int                 `json:"version"`
	Config  string              `json:"config"`        // digest, of the join's
	Parts   string              `json:"parts"`         // digest of the parts' config
	Cut     string              `json:"cut,omitempty"` // digest of what Split gives, for kinds that cut their inputs themselves
	Inputs  map[string][]string `json:"inputs"`        // port → digest of each artifact, or of a source's listing; origin where the kind looks at it
	Seed    uint64              `json:"seed"`
	Env     map[string]string   `json:"env,omitempty"`
	Machine string              `json:"machine,omitempty"`
}

// wholeDetail is what the ledger keeps of a whole stage for us.
type wholeDetail struct {
	Outputs map[string]Output  `json:"outputs"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// whole is a stage that was found as one.
type whole struct {
	*artifacts.Known
	wholeDetail
	manifests map[string]*artifacts.Manifest // of the ports that other stages read
}

// ready says whether all that a node reads is complete.
func (g *graph) ready(n *node) bool { return n.missing == 0 && n.late == 0 && g.mapComplete(n) }

// wholeKey is empty for a stage that cannot be found as one.
func (g *graph) wholeKey(n *node) (string, error) {
	k := wholeKey{Format: wholeFormat, Engine: EngineFormat, Kind: n.Kind.Name, Version: n.Kind.Version, Config: n.config.digest, Parts: n.parted.digest,
		Inputs: map[string][]string{}, Seed: g.pipeline.Seed, Machine: n.config.machine}
	for _, p := range n.Kind.In {
		for _, f := range n.feeds[p.Name] {
			digest := ""
			if f.from == nil {
				digest = listingDigest(f.source)
			} else {
				var err error
				if digest, err = f.from.artifact(f.ref.Port); err != nil {
					return "", err
				}
				if p.Origins {
					digest += " " + f.ref.String()
				}
			}
			k.Inputs[p.Name] = append(k.Inputs[p.Name], digest)
		}
	}
	k.Env = environment(n.Env)
	if sp, ok := n.impl.(stage.Splitter); ok {
		if err := g.open(n); err != nil {
			return "", err
		}
		parts, err := split(sp, n.wholePorts())
		if err != nil {
			return "", nil // said where the parts are made
		}
		b, err := json.Marshal(parts)
		if err != nil {
			return "", nil // the same
		}
		k.Cut = digestOf(b)
	}
	return digestOf(canonical(k)), nil
}

// listingDigest names what a stage sees of a source's files.
func listingDigest(files []file) string {
	h := sha256.New()
	b := make([]byte, 0, 1<<12)
	for i := range files {
		for _, s := range fileKey(files[i].File) {
			b = append(b, s...)
			b = append(b, 0)
		}
		if len(b) > 1<<11 {
			h.Write(b)
			b = b[:0]
		}
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// artifact is the digest of a finished node's output.
func (n *node) artifact(port string) (string, error) {
	if o, ok := n.outputs[port]; ok {
		return o.Digest, nil
	}
	m, _, err := n.outputManifest(port)
	if err != nil {
		return "", err
	}
	o, err := m.Object()
	return o.Digest, err
}

// findWhole looks for a stage as one, and finishes it if it is known.
func (g *graph) findWhole(n *node) (found bool, err error) {
	if !g.wholes || n.tried || len(n.parts) > 0 || !g.ready(n) {
		return false, nil
	}
	n.tried = true
	key, err := g.wholeKey(n)
	if err != nil {
		return false, err
	}
	if key == "" {
		return false, nil
	}
	known, err := g.store.Completion(key)
	if err != nil || known == nil {
		return false, err
	}
	w := &whole{Known: known, manifests: map[string]*artifacts.Manifest{}}
	if err := json.Unmarshal(known.Detail, &w.wholeDetail); err != nil {
		return false, fmt.Errorf("ledger: the outputs of stage %s: %w", n.Name, err)
	}
	for _, u := range n.users {
		for _, feeds := range u.feeds {
			for _, f := range feeds {
				if f.from != n || w.manifests[f.ref.Port] != nil {
					continue
				}
				m, err := g.store.Manifest(w.Outputs[f.ref.Port].Digest)
				if errors.Is(err, fs.ErrNotExist) { // the store set it aside: its bytes were wrong
					return false, nil
				}
				if err != nil {
					return false, err
				}
				w.manifests[f.ref.Port] = m
			}
		}
	}
	n.whole, n.outputs, n.closed, n.backlog = w, w.Outputs, true, nil
	return true, g.finish(n)
}

// open lists the outputs of the whole stages that a node reads: it has to be cut.
func (g *graph) open(n *node) error {
	for _, feeds := range n.feeds {
		for _, f := range feeds {
			if f.from == nil || f.from.whole == nil || f.from.out[f.ref.Port] != nil {
				continue
			}
			var files []file
			for _, mf := range f.from.whole.manifests[f.ref.Port].Files {
				s, err := decodeStats(mf.Stats)
				if err != nil {
					return fmt.Errorf("statistics of %s in the manifest %s: %w", mf.Path, f.from.outputs[f.ref.Port].Digest, err)
				}
				files = append(files, file{File: stage.File{Name: mf.Path, Digest: mf.Digest, Size: mf.Size, Stats: s}})
			}
			f.from.out[f.ref.Port] = files
		}
	}
	return nil
}

// keepWhole keeps a stage of which all parts are known, for the next run to find as one.
func (c *coordinator) keepWhole(n *node, metrics map[string]float64, objects []artifacts.Object) error {
	if !c.ready(n) {
		return nil
	}
	key, err := c.wholeKey(n)
	if err != nil || key == "" {
		return err
	}
	detail, err := json.Marshal(wholeDetail{n.outputs, metrics})
	if err != nil {
		return err
	}
	done := artifacts.Completion{Key: key, Objects: objects, Detail: detail}
	for _, p := range append(n.ordered(), joinOf(n)...) {
		if settled, err := settledByKey(p.hit); !settled || err != nil {
			return err
		}
		done.Parts = append(done.Parts, [2]string{p.name, p.key})
		for _, f := range p.hit.Outputs.Files {
			done.Objects = append(done.Objects, artifacts.Object{Digest: f.Digest, Size: f.Size})
		}
	}
	return c.store.Ledger().PutCompletion(done)
}

// settledByKey says whether an action says no more of itself than a whole stage can: what
// rules touched, and metrics. A part with notices, or that is a hit only while a file
// outside stays as it was, has to be looked at each time.
func settledByKey(a *artifacts.Action) (bool, error) {
	if string(a.Counts) == "{}" {
		return true, nil
	}
	var d map[string]json.RawMessage
	if err := json.Unmarshal(a.Counts, &d); err != nil {
		return false, fmt.Errorf("ledger: detail of action %s: %w", a.Key, err)
	}
	for name := range d {
		if !slices.Contains([]string{"counts", "metrics", "cpu", "memory"}, name) {
			return false, nil
		}
	}
	return true, nil
}

// count is how many parts a node has, as far as is known.
func (n *node) count() int {
	if n.whole != nil {
		return n.whole.Count
	}
	return len(n.parts) + len(joinOf(n))
}
