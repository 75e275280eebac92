package artifacts

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestRefuseNetworkFileSystems(t *testing.T) {
	const ext4, nfs, cifs, ninep, fuse = 0xef53, 0x6969, 0xff534d42, 0x01021997, 0x65735546
	for _, c := range []struct {
		magic uint32
		mount string
		name  string // empty: allowed
	}{
		{ext4, "ext4", ""}, {unix.TMPFS_MAGIC, "tmpfs", ""}, {unix.BTRFS_SUPER_MAGIC, "btrfs", ""}, {unix.OVERLAYFS_SUPER_MAGIC, "overlay", ""},
		{nfs, "nfs4", "NFS"}, {cifs, "cifs", "CIFS"}, {unix.SMB2_SUPER_MAGIC, "smb3", "SMB"}, {ninep, "9p", "9p"},
		{fuse, "fuse.sshfs", "fuse.sshfs"}, {fuse, "fuse.rclone", "fuse.rclone"}, {fuse, "", "FUSE"},
		{fuse, "fuseblk", ""}, {fuse, "fuse.fuse-overlayfs", ""},
	} {
		err := refuseMagic("/mnt/x/ledger.db", c.magic, func() string { return c.mount })
		if c.name == "" {
			if err != nil {
				t.Errorf("%s: %v", c.mount, err)
			}
			continue
		}
		wantError(t, err, "/mnt/x/ledger.db", "network file system ("+c.name+")", "--ledger")
	}
}

func TestMountType(t *testing.T) {
	const info = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /home rw - btrfs /dev/vdb rw
31 30 0:50 / /home/ana rw shared:7 master:3 - fuse.sshfs ana@far:/x rw
32 31 0:51 / /home/ana\040maria rw - tmpfs tmpfs rw
33 22 0:52 / /stacked rw - ext4 /dev/a rw
34 33 0:53 / /stacked rw - nfs4 far:/b rw
`
	for dir, want := range map[string]string{
		"/": "ext4", "/etc": "ext4", "/home": "btrfs", "/home/an": "btrfs", "/home/ana": "fuse.sshfs",
		"/home/ana/x/y": "fuse.sshfs", "/home/ana maria/z": "tmpfs", "/stacked/c": "nfs4", "/homes": "ext4",
	} {
		if got := mountTypeIn(info, dir); got != want {
			t.Errorf("%s is on %q, want %q", dir, got, want)
		}
	}
	if mountType("/proc") != "proc" {
		t.Errorf("/proc is on %q", mountType("/proc"))
	}
}
