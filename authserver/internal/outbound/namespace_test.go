package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"latchkey/authserver/internal/outbound"
)

const inNamespace = "LATCHKEY_TEST_NAMESPACE"

// TestNothingLeaves: AS-C11, A12: over the whole table of hostile URLs and of names that resolve to hostile addresses not one
// TCP connection is begun. Counted in a network namespace whose every address is reachable: all packets pass lo, where a
// packet socket counts the SYNs; a public address as control shows that it counts.
func TestNothingLeaves(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNothingLeaves$", "-test.v", "-test.timeout=60s") //nolint:gosec // this test itself
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err == nil || errors.As(err, &exit) {
			t.Logf("in a network namespace:\n%s", out)
			if err != nil {
				t.Error(err)
			}
			return
		}
		t.Logf("no network namespace for this user (%v): counted at the dialer instead", err)
		countAtDialer(t)
		return
	}
	if err := everythingIsLocal(); err != nil {
		t.Fatal(err)
	}
	syns, err := countSYNs()
	if err != nil {
		t.Fatal(err)
	}
	f, _, tried := walkHostile(t)
	const control = "8.8.8.8"
	answer(f, control)
	_, _ = f.Get(t.Context(), outbound.Request{URL: "https://control.latchkey.dev/", Limit: 1, Known: true})
	syns.await(t, control)
	t.Logf("%d targets, %d connections begun by them, %d by the control", tried, syns.others(control), syns.to(control))
	if syns.others(control) != 0 {
		t.Errorf("connections begun: %v", syns.all())
	}
	for _, hostile := range []string{"10.0.0.1", "169.254.169.254", "fd00:ec2::254"} { // would be seen if they were dialled
		if c, err := net.DialTimeout("tcp", net.JoinHostPort(hostile, "443"), time.Second); err == nil {
			_ = c.Close()
		}
		syns.await(t, hostile)
	}
}

// await waits until a connection to an address is counted: packets are read on the side.
func (c *counted) await(t *testing.T, address string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for c.to(address) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("a connection to %s is not counted", address)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func countAtDialer(t *testing.T) {
	_, passed, tried := walkHostile(t)
	t.Logf("%d targets, %d connections begun", tried, len(*passed))
	if len(*passed) != 0 {
		t.Errorf("connections begun: %v", *passed)
	}
}

// walkHostile fetches from every hostile target and returns the fetcher, the
// hostile addresses that its dialer let pass, and how many targets there were.
func walkHostile(t *testing.T) (*outbound.Fetcher, *[]string, int) {
	t.Helper()
	f, err := outbound.New(outbound.Config{})
	if err != nil {
		t.Fatal(err)
	}
	passed := f.Passed()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	tried := 0
	refused := func(url, what string) {
		tried++
		if _, err := f.Get(ctx, outbound.Request{URL: url, Limit: 1, Known: true}); !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, u := range hostileURLs {
		refused(u, u)
	}
	for i, a := range hostileAddresses {
		answer(f, a)
		refused(fmt.Sprintf("https://h%d.latchkey.dev/", i), "a name for "+a)
	}
	for i, pair := range [][]string{{"127.0.0.1", "::1"}, {"::1", "10.0.0.1"}, {"169.254.169.254", "fd00:ec2::254"}} {
		answer(f, pair...)
		refused(fmt.Sprintf("https://m%d.latchkey.dev/", i), strings.Join(pair, " and "))
	}
	return f, passed, tried
}

// answer makes a fetcher's resolver say that every name has these addresses. It
// speaks DNS over a pipe: no packet of it is on any network.
func answer(f *outbound.Fetcher, addresses ...string) {
	f.Resolve(&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go serveDNS(server, addresses)
		return client, nil
	}})
}

func serveDNS(c net.Conn, addresses []string) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	head := make([]byte, 2)
	for {
		if _, err := readFull(c, head); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(head))
		if _, err := readFull(c, q); err != nil || len(q) < 12 {
			return
		}
		end := 12
		for end < len(q) && q[end] != 0 {
			end += int(q[end]) + 1
		}
		end += 5 // the root label, type and class
		kind := binary.BigEndian.Uint16(q[end-4:])
		reply := append([]byte{}, q[:end]...)
		reply[2], reply[3] = 0x85, 0x80 // an authoritative answer, recursion available
		count := uint16(0)
		for _, a := range addresses {
			ip := netip.MustParseAddr(a)
			if (kind == 1) != ip.Is4() || (kind != 1 && kind != 28) {
				continue
			}
			count++
			reply = append(reply, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(ip.AsSlice())))
			reply = append(reply, ip.AsSlice()...)
		}
		binary.BigEndian.PutUint16(reply[6:], count)
		binary.BigEndian.PutUint32(reply[8:], 0)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func readFull(c net.Conn, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := c.Read(b[n:])
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// everythingIsLocal brings lo up and routes every address to it.
func everythingIsLocal() error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("opening socket: %w", err)
	}
	defer func() { _ = syscall.Close(s) }()
	var request [40]byte // struct ifreq
	copy(request[:], "lo")
	binary.NativeEndian.PutUint16(request[16:], syscall.IFF_UP|syscall.IFF_RUNNING)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request[0]))); errno != 0 {
		return fmt.Errorf("bringing lo up: %w", errno)
	}
	n, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer func() { _ = syscall.Close(n) }()
	for _, family := range []byte{syscall.AF_INET, syscall.AF_INET6} {
		message := make([]byte, 36) // nlmsghdr, rtmsg, one rtattr
		binary.NativeEndian.PutUint32(message[0:], 36)
		binary.NativeEndian.PutUint16(message[4:], syscall.RTM_NEWROUTE)
		binary.NativeEndian.PutUint16(message[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE)
		copy(message[16:], []byte{family, 0, 0, 0, syscall.RT_TABLE_LOCAL, syscall.RTPROT_BOOT, syscall.RT_SCOPE_HOST, syscall.RTN_LOCAL})
		binary.NativeEndian.PutUint16(message[28:], 8)
		binary.NativeEndian.PutUint16(message[30:], syscall.RTA_OIF)
		binary.NativeEndian.PutUint32(message[32:], 1) // lo
		if err := syscall.Sendto(n, message, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
			return fmt.Errorf("adding route: %w", err)
		}
		ack := make([]byte, 4096)
		if got, _, err := syscall.Recvfrom(n, ack, 0); err != nil || got < 20 || binary.NativeEndian.Uint32(ack[16:]) != 0 {
			return fmt.Errorf("adding route of family %d: %w %v", family, err, ack[16:20])
		}
	}
	return nil
}

// counted are the TCP connections begun, by destination.
type counted struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counted) to(address string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[address]
}

func (c *counted) others(address string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for at, count := range c.seen {
		if at != address {
			n += count
		}
	}
	return n
}

func (c *counted) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for at, count := range c.seen {
		out = append(out, fmt.Sprintf("%s: %d", at, count))
	}
	slices.Sort(out)
	return out
}

func countSYNs() (*counted, error) {
	const everyProtocol = 0x0300 // ETH_P_ALL in network order
	s, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM, everyProtocol)
	if err != nil {
		return nil, fmt.Errorf("opening packet socket: %w", err)
	}
	c := &counted{seen: map[string]int{}}
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := syscall.Recvfrom(s, b, 0)
			if err != nil {
				return
			}
			const outgoing = 4 // PACKET_OUTGOING: lo shows each packet twice
			if link, ok := from.(*syscall.SockaddrLinklayer); !ok || link.Pkttype != outgoing {
				continue
			}
			if to, ok := syn(b[:n]); ok {
				c.mu.Lock()
				c.seen[to]++
				c.mu.Unlock()
			}
		}
	}()
	return c, nil
}

// syn returns where a packet begins a TCP connection to.
func syn(p []byte) (string, bool) {
	var tcp []byte
	var to netip.Addr
	switch {
	case len(p) >= 40 && p[0]>>4 == 4 && p[9] == syscall.IPPROTO_TCP:
		tcp = p[int(p[0]&15)*4:]
		to, _ = netip.AddrFromSlice(p[16:20])
	case len(p) >= 60 && p[0]>>4 == 6 && p[6] == syscall.IPPROTO_TCP:
		tcp = p[40:]
		to, _ = netip.AddrFromSlice(p[24:40])
	default:
		return "", false
	}
	return to.String(), len(tcp) >= 14 && tcp[13]&0x12 == 0x02
}
