package remote

import (
	"context"
	"io"
	"path"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"
)

// fewAsked is how many names of one folder are asked for one by one. For more, listing
// the folder takes fewer requests: a page of it has a thousand names.
const fewAsked = 8

// sizes tells which of the names are there, and of how many bytes.
func (r *Remote) sizes(ctx context.Context, names []string) (map[string]int64, error) {
	folders := map[string][]string{}
	for _, n := range names {
		folders[path.Dir(n)] = append(folders[path.Dir(n)], n)
	}
	there := map[string]int64{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.parallel)
	for folder, wanted := range folders {
		if len(wanted) > fewAsked {
			g.Go(func() error {
				want := make(map[string]bool, len(wanted))
				for _, n := range wanted {
					want[n] = true
				}
				return r.list(ctx, folder+"/", func(name string, size int64) {
					if want[name] {
						mu.Lock()
						there[name] = size
						mu.Unlock()
					}
				})
			})
			continue
		}
		for _, n := range wanted {
			g.Go(func() error {
				return r.attempt(ctx, 0, func(ctx context.Context) error {
					a, err := r.bucket.Attributes(ctx, n)
					if gcerrors.Code(err) == gcerrors.NotFound {
						return nil
					}
					if err == nil {
						mu.Lock()
						there[n] = a.Size
						mu.Unlock()
					}
					return err
				})
			})
		}
	}
	return there, g.Wait()
}

// list tells the names below a folder.
func (r *Remote) list(ctx context.Context, folder string, tell func(name string, size int64)) error {
	for token := blob.FirstPageToken; len(token) > 0; {
		var page []*blob.ListObject
		var next []byte
		err := r.attempt(ctx, 0, func(ctx context.Context) (err error) {
			page, next, err = r.bucket.ListPage(ctx, token, 1000, &blob.ListOptions{Prefix: folder})
			if err == io.EOF {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range page {
			tell(o.Key, o.Size)
		}
		token = next
	}
	return nil
}
