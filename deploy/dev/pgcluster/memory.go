package pgcluster

import (
	"bufio"
	"fmt"
	"os"
	"syscall"
)

const (
	memoryDir = "/dev/shm"
	tmpfs     = 0x01021994 // statfs(2)
	roomFree  = 3 << 30    // the largest package of tests takes a good gigabyte, and two run at once
	ramFree   = 5 << 30
)

// Memory is a directory in memory for clusters that end with their tests, "" where
// there is not plenty of it: on a disk most of what a test's database costs is the
// making of its five hundred files.
func Memory() string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(memoryDir, &s); err != nil || int64(s.Type) != tmpfs || s.Bavail*uint64(s.Bsize) < roomFree {
		return ""
	}
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kilobytes uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kilobytes); n == 1 {
			if kilobytes<<10 >= ramFree {
				return memoryDir
			}
			return ""
		}
	}
	return ""
}
