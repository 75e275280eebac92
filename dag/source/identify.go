package source

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Identify tells the state a file is in now. Symlinks are followed.
func Identify(path string) (FileID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return FileID{}, fmt.Errorf("stat %s: %w", path, err)
	}
	return FileID{Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, ModifiedNS: st.Mtim.Nano(), ChangeNS: st.Ctim.Nano()}, nil
}
