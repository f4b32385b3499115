package pgcluster

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const (
	memoryDir = "/dev/shm"
	tmpfs     = 0x01021994 // statfs(2)
	each      = 3 << 29    // bytes; the largest package of tests takes a good gigabyte
	others    = 2 << 30    // of memory, for all but the clusters
	unlimited = math.MaxUint64
	limitFile = "/sys/fs/cgroup/memory.max" // of a container, cgroups(7)
)

// Memory is a directory in memory for clusters that end with their tests, "" where
// there is not plenty of it: on a disk most of what a test's database costs is the
// making of its five hundred files.
func Memory() string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(memoryDir, &s); err != nil || int64(s.Type) != tmpfs {
		return ""
	}
	limit, _ := os.ReadFile(limitFile)
	// go test runs as many packages at once as there are processors, and each of them looks before the others have written.
	if !plenty(s.Bavail*uint64(s.Bsize), min(available(), allowed(limit)), runtime.NumCPU()) {
		return ""
	}
	return memoryDir
}

// plenty reports whether a number of packages have room in a file system in memory,
// of which the machine has ram.
func plenty(room, ram uint64, packages int) bool {
	need := uint64(max(packages, 1)) * each
	return room >= need && ram >= need+others
}

// allowed is what a container may use, by what that file says. How much of it is in
// use says little: most of that is files that were read, which make room.
func allowed(limit []byte) uint64 {
	most, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64)
	if err != nil { // "max", or no container
		return unlimited
	}
	return most
}

// available is the machine's memory that can be used.
func available() uint64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kilobytes uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}
