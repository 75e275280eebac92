package artifacts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// networkFileSystems names the file systems, by the magic number of statfs(2), whose
// files other machines may write at the same time. SQLite's write-ahead log keeps its
// index in shared memory, which those machines do not share, and several of them
// answer flock for one machine only: a ledger there is damaged sooner or later.
var networkFileSystems = map[uint32]string{
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.SMB2_SUPER_MAGIC:  "SMB",
	unix.CIFS_SUPER_MAGIC:  "CIFS",
	unix.V9FS_MAGIC:        "9p",
	unix.CEPH_SUPER_MAGIC:  "Ceph",
	unix.AFS_SUPER_MAGIC:   "AFS",
	unix.AFS_FS_MAGIC:      "AFS",
	unix.CODA_SUPER_MAGIC:  "Coda",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	0x0bd00bd0:             "Lustre",
	0x47504653:             "GPFS",
	0x19830326:             "BeeGFS",
	0x01161970:             "GFS2",
	0x564c:                 "NCP",
}

// localFuse are file systems under FUSE that are as local as any. All others count as
// network file systems: sshfs, rclone, s3fs, gcsfuse, glusterfs, …
var localFuse = map[string]bool{
	"fuseblk": true, "fuse.fuse-overlayfs": true, "fuse.ntfs-3g": true, "fuse.ext2": true, "fuse.ext4": true,
	"fuse.encfs": true, "fuse.gocryptfs": true, "fuse.mergerfs": true, "fuse.bindfs": true, "virtiofs": true,
}

// refuseNetwork fails when a ledger at path would be on a network file system.
func refuseNetwork(path string) error {
	dir := filepath.Dir(path)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return advise("open the ledger", dir, err)
	}
	return refuseMagic(path, uint32(st.Type), func() string { return mountType(dir) })
}

// refuseMagic decides by the magic number, and for FUSE by the type of the mount.
func refuseMagic(path string, magic uint32, mount func() string) error {
	name := networkFileSystems[magic]
	if magic == unix.FUSE_SUPER_MAGIC {
		if t := mount(); !localFuse[t] {
			name = t
			if name == "" {
				name = "FUSE"
			}
		}
	}
	if name == "" {
		return nil
	}
	return fmt.Errorf("the ledger %s would be on a network file system (%s), where SQLite loses data: keep it on a local disk with --ledger FILE; the store itself may stay there", path, name)
}

// mountType is the type of the file system that holds dir, as /proc/self/mountinfo
// (proc(5)) gives it: of all mount points above dir the longest, of equals the last.
func mountType(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return mountTypeIn(string(b), dir)
}

func mountTypeIn(mountinfo, dir string) (kind string) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	best := -1
	for _, line := range strings.Split(mountinfo, "\n") {
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 5 || len(g) < 1 {
			continue
		}
		point := unescape.Replace(f[4])
		if (dir == point || strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/")) && len(point) >= best {
			best, kind = len(point), g[0]
		}
	}
	return kind
}
