package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// holdKey locks a key, says so and holds it until its input ends, or for ever.
func holdKey(args []string) error {
	s, err := Open(args[0], Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	lock, err := s.LockKey(context.Background(), args[1], "pid 77, run 7, stage clean", func(h string) { fmt.Println("waiting for", h) })
	if err != nil {
		return err
	}
	fmt.Println("locked")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return lock.Unlock()
}

// waitFor locks a key that somebody holds, and gives who that was told to be.
func waitFor(t *testing.T, s *Store, key string) (holder <-chan string, locked <-chan *KeyLock) {
	h, l := make(chan string, 10), make(chan *KeyLock, 1)
	go func() {
		lock, err := s.LockKey(context.Background(), key, "the test", func(holder string) { h <- holder })
		if err != nil {
			t.Error(err)
		}
		l <- lock
	}()
	return h, l
}

func TestLockKeyBetweenProcesses(t *testing.T) {
	for _, end := range []string{"killed", "done"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			p := start(t, "hold", dir, "key")
			if got := p.line(t); got != "locked" {
				t.Fatal(got)
			}
			holder, locked := waitFor(t, s, "key")
			if got := <-holder; got != "pid 77, run 7, stage clean" {
				t.Errorf("told to wait for %q", got)
			}
			select {
			case <-locked:
				t.Fatal("two hold the key")
			default:
			}
			if end == "killed" {
				p.kill(t)
			} else {
				p.in.Close()
			}
			lock := <-locked
			if got := holderOf(filepath.Join(dir, locksDir, "key")); got != "the test" {
				t.Errorf("the lock says it is held by %q", got)
			}
			if err := lock.Unlock(); err != nil {
				t.Fatal(err)
			}
			if len(holder) > 0 {
				t.Errorf("told twice: %q", <-holder)
			}
			if exists(filepath.Join(dir, locksDir, "key")) {
				t.Error("the lock file stays behind")
			}
		})
	}
}

// The counters are atomic for the race detector, which does not know flock.
func TestLockKeyExcludes(t *testing.T) {
	s := openStore(t, t.TempDir())
	var wg sync.WaitGroup
	var count, inside atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				lock, err := s.LockKey(context.Background(), "key", fmt.Sprint(i), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("not alone")
				}
				count.Add(1)
				inside.Add(-1)
				if err := lock.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := count.Load(); n != 160 {
		t.Errorf("counted %d", n)
	}
}

func TestLockKeyGivesUp(t *testing.T) {
	s := openStore(t, t.TempDir())
	lock, err := s.LockKey(context.Background(), "key", "me", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := s.LockKey(ctx, "key", "me too", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	other, err := s.LockKey(ctx, "other key", "me", nil)
	if err != nil {
		t.Fatal(err)
	}
	other.Unlock()
}
