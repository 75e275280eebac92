package dag

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
)

// Coordinators that work on one store share it part by part: whoever has the lock on a
// part's key does it, and the other takes the result. Nobody waits for a lock with a
// lock in its hands, nor with a CPU that the holder of another might need, so that no
// order of locks can make two of them wait for each other for ever:
//
//   - a part takes its place on the machine, then asks for the lock; when it must wait for
//     that it gives its place back;
//   - a part that waited and gets the lock while there is no place for it gives the lock
//     back, and queues up again.
//
// The kernel frees the locks of a coordinator that dies.

// announceEvery is how often it is said that parts of a stage wait for the same holder.
const announceEvery = 10 * time.Second

// begin takes the lock on a part's key, then runs it.
func (c *coordinator) begin(ctx context.Context, w *work) {
	c.take(w)
	owner := fmt.Sprintf("pid %d, run %d, stage %s", os.Getpid(), c.run, w.node.Name)
	c.spawn(func() func() error {
		waits := false
		lock, err := c.store.LockKey(c.waits, w.key, owner, func(holder string) {
			first := !waits
			waits = true
			c.events <- func() error {
				if first {
					c.release(w)
					c.away = append(c.away, w)
				}
				w.waitsFor = holder
				c.announce(w, holder)
				return nil
			}
		})
		return func() error {
			if !waits {
				return c.locked(ctx, w, lock, err)
			}
			c.away = slices.DeleteFunc(c.away, func(o *work) bool { return o == w })
			w.waitsFor = ""
			return c.lockedAfterWait(ctx, w, lock, err)
		}
	})
}

// announce says for whom a part waits, unless that is an equal part of this run.
func (c *coordinator) announce(w *work, holder string) {
	whom := w.node.Name + " " + holder
	if holder == "" || strings.HasPrefix(holder, fmt.Sprintf("pid %d,", os.Getpid())) || time.Since(c.waitSaid[whom]) < announceEvery {
		return
	}
	c.waitSaid[whom] = time.Now()
	c.notice("%s, part %s: waiting for %s, which is doing it", w.node.Name, w.name, holder)
}

// locked goes on with a part that has its place and its key's lock.
func (c *coordinator) locked(ctx context.Context, w *work, lock *artifacts.KeyLock, err error) error {
	if err != nil {
		c.release(w)
		return c.unlessGivenUp(err)
	}
	made, err := c.madeMeanwhile(w)
	if err != nil || made != nil || c.stopping {
		c.release(w)
		if err = errors.Join(err, lock.Unlock()); err != nil || made == nil {
			return err
		}
		c.hit(w.part)
		return c.complete(w.part, made)
	}
	w.lock = lock
	c.perform(ctx, w)
	return nil
}

// lockedAfterWait goes on with a part that has its key's lock and gave up its place.
func (c *coordinator) lockedAfterWait(ctx context.Context, w *work, lock *artifacts.KeyLock, err error) error {
	if err != nil {
		return errors.Join(c.unlessGivenUp(err), c.tellEnd(w, "stopped"))
	}
	made, err := c.madeMeanwhile(w)
	switch {
	case err != nil:
		return errors.Join(err, lock.Unlock())
	case made != nil:
		if err := lock.Unlock(); err != nil {
			return err
		}
		if w.told == "" {
			c.hit(w.part)
		} else {
			c.stat[w.node].cached++
			err = c.tellEnd(w, "cached")
		}
		return errors.Join(err, c.complete(w.part, made))
	case c.stopping:
		return errors.Join(lock.Unlock(), c.tellEnd(w, "stopped"))
	case !c.free.fits(w):
		c.queue.add(w, c.o.Jobs, time.Now())
		return lock.Unlock()
	}
	c.take(w)
	w.lock = lock
	c.perform(ctx, w)
	return nil
}

// unlessGivenUp passes on what went wrong with a lock; that the run stopped waiting is
// nothing wrong.
func (c *coordinator) unlessGivenUp(err error) error {
	if c.waits.Err() != nil {
		return nil
	}
	return err
}

// madeMeanwhile looks a locked key up once more: who had the lock before may have made
// the part.
func (c *coordinator) madeMeanwhile(w *work) (*artifacts.Action, error) {
	known, err := c.store.Ledger().Actions([]string{w.key})
	if err != nil {
		return nil, err
	}
	a := known[w.key]
	if a == nil || c.absent(a) != "" {
		return nil, nil
	}
	if m, err := c.moved(a); err != nil || m != nil {
		return nil, err
	}
	return a, nil
}
