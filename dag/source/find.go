package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// find gives the files that one entry of a source stands for. What cannot be found is
// one entry with an error; what is still to be fetched, one that is Absent. The entries
// resolve the elements of list, in order.
func find(source string, file *pipelinefile.SourceFile, offline bool) (all []*entry, list []Resolved) {
	one := func() ([]*entry, []Resolved) {
		all, list := newEntries(source, file, "", []string{filepath.Base(file.Abs)})
		list[0].Path = file.Abs
		return all, list
	}
	bad := func(err error) ([]*entry, []Resolved) {
		all, list := one()
		all[0].err = err
		return all, list
	}
	var root string
	var names []string
	if strings.ContainsAny(file.Path, "*?[") {
		var err error
		if root, names, err = glob(file); err != nil {
			return bad(err)
		}
		if len(names) == 0 {
			return bad(fmt.Errorf("%s matches no file", file.Abs))
		}
	} else {
		info, err := os.Stat(file.Abs)
		switch {
		case errors.Is(err, fs.ErrNotExist) && file.URL != "":
			all, list := one()
			list[0].Absent, list[0].Digest, list[0].Size = true, file.SHA256, -1
			return all, list
		case errors.Is(err, fs.ErrNotExist):
			return bad(fmt.Errorf("%s does not exist; put the file there, or give it a `url` to be fetched from", file.Abs))
		case err != nil:
			return bad(err)
		case info.Mode().IsRegular():
			if file.URL != "" && !offline {
				tidy(file.Abs)
			}
			return one()
		case !info.IsDir():
			return bad(fmt.Errorf("%s is neither a regular file nor a directory", file.Abs))
		case file.URL != "" || file.SHA256 != "" || file.SHA1 != "":
			return bad(fmt.Errorf("%s is a directory, but a `url` or digest is of one file", file.Abs))
		}
		root = file.Abs
		if names, err = walk(root); err != nil {
			return bad(err)
		}
		if len(names) == 0 {
			return bad(fmt.Errorf("there are no files in %s", file.Abs))
		}
	}
	sort.Strings(names)
	if root = filepath.Clean(root); root != "/" {
		root += "/"
	}
	return newEntries(source, file, root, names)
}

// walk lists the regular files below a directory, by their paths relative to it with
// slashes. Hidden files and directories are skipped; a symbolic link counts as the
// regular file it leads to, and links to directories are not followed, so that a
// link upwards makes no circle.
func walk(root string) (names []string, err error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, p)
		if err != nil {
			return err
		}
		switch {
		case rel == ".":
			return nil
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return filepath.SkipDir
		case strings.HasPrefix(d.Name(), "."), d.IsDir():
			return nil
		}
		if !d.Type().IsRegular() {
			if ok, err := regular(p); err != nil || !ok {
				return err
			}
		}
		names = append(names, filepath.ToSlash(rel))
		return nil
	})
	return names, err
}

// glob lists the regular files that match a pattern, relative to the last directory
// before the first wildcard.
func glob(file *pipelinefile.SourceFile) (root string, names []string, err error) {
	steps := strings.Split(filepath.ToSlash(filepath.Clean(file.Path)), "/")
	first := 0
	for !strings.ContainsAny(steps[first], "*?[") {
		first++
	}
	// Abs ends in the same steps. What comes before them may hold brackets of its own.
	root = file.Abs
	for range steps[first:] {
		root = filepath.Dir(root)
	}
	matches, err := fs.Glob(os.DirFS(root), path.Join(steps[first:]...))
	if err != nil {
		return "", nil, fmt.Errorf("pattern %s: %w", file.Path, err)
	}
	for _, name := range matches {
		if strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
			continue
		}
		ok, err := regular(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return "", nil, err
		}
		if ok {
			names = append(names, name)
		}
	}
	return root, names, nil
}

func regular(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s is a link that leads nowhere", path)
	}
	return err == nil && info.Mode().IsRegular(), err
}
