package artifacts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// InUse says that the store cannot be had alone.
type InUse struct {
	Dir     string
	Holders []string // who has it open, as far as this machine can tell
}

func (e *InUse) Error() string {
	who := "another process"
	if len(e.Holders) > 0 {
		who = strings.Join(e.Holders, " and ")
	}
	return fmt.Sprintf("the store %s is in use by %s: run again when that has ended, or wait for it with --wait", e.Dir, who)
}

// moment is how long somebody who only looks (status, get) is waited for in silence.
const moment = time.Second

// exclusively takes the store for this process alone, so that no run can begin, publish or
// take a hit until release. onWait is called with who is in the way whenever that
// changes; if it is nil the error is *InUse, after a moment. While waiting, and after an
// error, this process does not hold the store at all.
func (s *Store) exclusively(ctx context.Context, owner string, onWait func(holders []string)) (release func() error, err error) {
	if s.readOnly {
		return nil, fmt.Errorf("the store %s is open for reading only", s.dir)
	}
	var told []string
	began := time.Now()
	for {
		// Turning a shared lock into an exclusive one gives the shared one up first.
		// Two processes that both want to may therefore both fail, but not for ever:
		// the wait is without any.
		err := disk.Flock(s.lock, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, advise("lock the store", s.lock.Name(), err)
		}
		if err := disk.Flock(s.lock, unix.LOCK_UN); err != nil {
			return nil, advise("lock the store", s.lock.Name(), err)
		}
		if time.Since(began) > moment {
			holders := s.holders()
			if onWait == nil {
				return nil, &InUse{s.dir, holders}
			}
			if len(told) == 0 || !slices.Equal(holders, told) {
				if len(holders) == 0 {
					holders = []string{"another process"}
				}
				told = holders
				onWait(holders)
			}
		}
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
	text := &disk.File{File: s.lock}
	release = func() error {
		_ = text.Truncate(0)
		return advise("share the store again", s.lock.Name(), disk.Flock(s.lock, unix.LOCK_SH))
	}
	// Without the lock the ledger may have been migrated by a newer program.
	var v int
	if err := s.ledger.read.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		return nil, errors.Join(adviseLedger("open", s.ledger.path, err), release())
	}
	if err := checkVersion(s.ledger.path, v, len(migrations)); err != nil {
		return nil, errors.Join(err, release())
	}
	// For those who are refused meanwhile. What a crash leaves is never read: it is asked
	// for only while somebody holds the lock exclusively.
	if text.Truncate(0) == nil {
		_, _ = text.Seek(0, io.SeekStart)
		_, _ = text.WriteString(owner + "\n")
	}
	return release, nil
}

// holders names the other processes of this machine that have the store open: those under
// /proc/locks, and with them the run that they do.
func (s *Store) holders() (who []string) {
	info, err := s.lock.Stat()
	if err != nil {
		return nil
	}
	inode := strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10)
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return nil
	}
	defer locks.Close()
	runs := map[int]string{}
	if rs, err := s.ledger.Runs("", 100); err == nil {
		for _, r := range rs {
			if r.State == "running" {
				runs[r.PID] = fmt.Sprintf("run %d of %s", r.ID, r.Pipeline)
			}
		}
	}
	seen := map[int]bool{os.Getpid(): true}
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: FLOCK  ADVISORY  READ 4711 fd:01:262148 0 EOF
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], ":"+inode) {
			continue
		}
		pid, err := strconv.Atoi(f[4])
		if err != nil || seen[pid] {
			continue
		}
		seen[pid] = true
		words := []string{fmt.Sprintf("pid %d", pid)}
		if run := runs[pid]; run != "" {
			words = append(words, run)
		} else if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(b) > 0 {
			args := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
			args[0] = filepath.Base(args[0])
			words = append(words, "`"+strings.Join(args, " ")+"`")
		}
		who = append(who, strings.Join(words, ", "))
	}
	return who
}
