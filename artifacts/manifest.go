package artifacts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// Manifest lists the files of an artifact, in order. The sha256 of its encoding names
// the artifact.
type Manifest struct{ Files []ManifestFile }

// ManifestFile is one file of an artifact.
type ManifestFile struct {
	Path   string          // slash-separated, relative, without . and ..
	Digest string          // sha256, hex
	Size   int64           // bytes
	Stats  json.RawMessage // what else is known of it (documents, tokens); opaque here, may be nil
}

// manifestFormat is raised when the encoding changes, and with it all artifact digests.
const manifestFormat = 1

// Encode gives the canonical JSON: object keys sorted, files in the order given, no
// space, no newline at the end, no HTML escapes, numbers as they were written. Equal
// manifests give equal bytes. It fails on a path that could lead out of a directory, on
// a path listed twice and on a digest that is none.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b := []byte(`{"files":[`)
	for i, f := range m.Files {
		if i > 0 {
			b = append(b, ',')
		}
		path, err := compact(f.Path)
		if err != nil {
			return nil, fmt.Errorf("manifest: path %q: %w", f.Path, err)
		}
		b = append(b, `{"digest":"`...)
		b = append(b, f.Digest...)
		b = append(b, `","path":`...)
		b = append(b, path...)
		b = append(b, `,"size":`...)
		b = strconv.AppendInt(b, f.Size, 10)
		if len(f.Stats) > 0 {
			stats, err := canonical(f.Stats)
			if err != nil {
				return nil, fmt.Errorf("manifest: stats of %s: %w", f.Path, err)
			}
			b = append(b, `,"stats":`...)
			b = append(b, stats...)
		}
		b = append(b, '}')
	}
	b = append(b, `],"format":`...)
	b = strconv.AppendInt(b, manifestFormat, 10)
	return append(b, '}'), nil
}

func (m *Manifest) check() error {
	var seen map[string]bool
	if len(m.Files) > 1 {
		seen = make(map[string]bool, len(m.Files))
	}
	for _, f := range m.Files {
		switch {
		case !fs.ValidPath(f.Path) || f.Path == "." || f.Path == viewMarker:
			return fmt.Errorf("manifest: %q is not the path of a file inside an artifact", f.Path)
		case seen[f.Path]:
			return fmt.Errorf("manifest: %s is listed twice", f.Path)
		case !isDigest(f.Digest):
			return fmt.Errorf("manifest: digest of %s: %q is not a sha256 in hex", f.Path, f.Digest)
		case f.Size < 0:
			return fmt.Errorf("manifest: size of %s: %d is below zero", f.Path, f.Size)
		}
		if seen != nil {
			seen[f.Path] = true
		}
	}
	return nil
}

// canonical rewrites JSON with sorted keys and without spaces.
func canonical(raw []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more than one JSON value")
	}
	return compact(v)
}

func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// manifestTemp is the pattern of the files in work/ that become manifest objects.
const manifestTemp = "manifest-*"

// PutManifest makes an object of a manifest and returns its digest, which names the
// artifact. It is durable then, as after Publish.
func (s *Store) PutManifest(m *Manifest) (digest string, err error) {
	b, err := m.Encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	digest = hex.EncodeToString(sum[:])
	if s.Has(digest, int64(len(b))) {
		return digest, disk.SyncDir(filepath.Dir(s.ObjectPath(digest)))
	}
	if s.readOnly {
		return "", fmt.Errorf("put a manifest: the store %s is open for reading only", s.dir)
	}
	f, err := disk.CreateTemp(filepath.Join(s.dir, workDir), manifestTemp)
	if err != nil {
		return "", advise("write a manifest", filepath.Join(s.dir, workDir), err)
	}
	defer disk.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", advise("write a manifest", f.Name(), err)
	}
	return digest, s.Publish([]Staged{{Path: f.Name(), Digest: digest, Size: int64(len(b))}})
}

// Manifest reads the manifest of an artifact and checks it against its name. One that
// does not match is moved to quarantine/ and reported as missing: the error wraps
// fs.ErrNotExist in both cases, and the stage that made the artifact must make it again.
func (s *Store) Manifest(digest string) (*Manifest, error) {
	path := s.ObjectPath(digest)
	b, err := disk.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read a manifest: the store %s does not have artifact %.12s any more, or never had it: run the pipeline to make it again: %w", s.dir, digest, fs.ErrNotExist)
	}
	if err != nil {
		return nil, advise("read a manifest", path, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
		kept := "it is left there"
		if !s.readOnly {
			if err := s.quarantine(digest); err != nil {
				return nil, err
			}
			kept = "it was moved to " + filepath.Join(s.dir, quarantineDir)
		}
		return nil, fmt.Errorf("read a manifest: %s hashes to %x and so counts as missing; %s: run the pipeline to make it again: %w", path, sum, kept, fs.ErrNotExist)
	}
	m, err := decodeManifest(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Object is what the manifest is as a file of the store: its digest names the artifact.
func (m *Manifest) Object() (Object, error) {
	b, err := m.Encode()
	if err != nil {
		return Object{}, err
	}
	sum := sha256.Sum256(b)
	return Object{hex.EncodeToString(sum[:]), int64(len(b))}, nil
}
