package source

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// FileID tells one state of a file on this machine from any other, without reading it.
type FileID struct {
	Device, Inode              uint64
	Size, ModifiedNS, ChangeNS int64 // bytes; Unix nanoseconds of mtime and ctime
}

// Identify tells the state a file is in now. Symbolic links are followed.
func Identify(path string) (FileID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return FileID{}, fmt.Errorf("stat %s: %w", path, err)
	}
	return identity(&st), nil
}

func identity(st *unix.Stat_t) FileID {
	return FileID{Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, ModifiedNS: st.Mtim.Nano(), ChangeNS: st.Ctim.Nano()}
}

// settled says whether the file had been left alone when hashing began, for longer
// than the coarsest clock of a common file system ticks (FAT: two seconds).
func (id FileID) settled(began time.Time) bool {
	return began.UnixNano()-max(id.ModifiedNS, id.ChangeNS) > int64(2*time.Second)
}
