package outbound_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// noNamespace is printed by a process that was given a namespace and no rights
// in it, as kernels do that restrict user namespaces.
const noNamespace = "no rights in this network namespace"

// inNamespace runs TestNoConnectionLeaves again in a new network namespace: as
// root in one of root's, else in one of a new user namespace.
func inNamespace(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ways := []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNET},
		{
			Cloneflags:  syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		},
	}
	for _, way := range ways {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestNoConnectionLeaves$", "-test.v", "-test.timeout=9m", "-inside-namespace")
		// A proxy that the environment names would be told every name: it is never asked.
		cmd.Env = append(cmd.Environ(), "HTTPS_PROXY=http://127.0.0.1:3128", "https_proxy=http://127.0.0.1:3128", "ALL_PROXY=http://127.0.0.1:3128")
		cmd.SysProcAttr = way
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Logf("starting with clone flags %#x: %v", way.Cloneflags, err)
			continue
		}
		err := cmd.Wait()
		if strings.Contains(out.String(), noNamespace) {
			t.Logf("clone flags %#x: %s", way.Cloneflags, noNamespace)
			continue
		}
		if err != nil || !strings.Contains(out.String(), "on the wire: ") {
			t.Fatalf("in the namespace: %v\n%s", err, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "on the wire: ") {
				t.Log(strings.TrimSpace(line))
			}
		}
		return
	}
	t.Log("this kernel gives no network namespace to this user: connections were counted at the dialer only")
}

// onWire makes every address of this namespace answer, starts an https server at
// port 443 of all of them, and counts the first packets of connections, and
// everything that is not TCP, on all interfaces.
func onWire(t *testing.T) *counter {
	t.Helper()
	if err := answerEverywhere(); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
			t.Fatal(noNamespace) // whoever started this process reads it
		}
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", ":443")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	_ = server.Listener.Close()
	server.Listener = l
	server.StartTLS()
	t.Cleanup(server.Close)
	packets, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, int(networkOrder(syscall.ETH_P_ALL)))
	if errors.Is(err, syscall.EPERM) {
		t.Fatal(noNamespace)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(packets) })
	if err := syscall.SetsockoptTimeval(packets, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 10}); err != nil {
		t.Fatal(err)
	}
	// Nothing may be lost between two calls of drain.
	if err := syscall.SetsockoptInt(packets, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 64<<20); err != nil {
		if err := syscall.SetsockoptInt(packets, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<20); err != nil {
			t.Fatal(err)
		}
	}
	return &counter{
		how:   "on the wire",
		roots: roots(server),
		// A connection of our own marks the end: the socket hands packets out in the order in which they were sent.
		drain: func(t *testing.T) []netip.AddrPort {
			t.Helper()
			end := netip.MustParseAddrPort("127.0.0.1:9")
			if c, err := net.DialTimeout("tcp", end.String(), time.Second); err == nil {
				_ = c.Close()
				t.Fatal("the discard port is open")
			}
			var opened []netip.AddrPort
			for buffer := make([]byte, 65536); ; {
				n, from, err := syscall.Recvfrom(packets, buffer, 0)
				if errors.Is(err, syscall.EINTR) {
					continue
				}
				if err != nil {
					t.Fatalf("reading packets: %v", err)
				}
				if link, ok := from.(*syscall.SockaddrLinklayer); !ok || link.Pkttype != syscall.PACKET_OUTGOING {
					continue
				}
				to, opens := opening(buffer[:n])
				switch {
				case to == end && opens:
					return opened
				case opens:
					opened = append(opened, to)
				}
			}
		},
	}
}

func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// opening reads an IP packet: where it goes, and whether it is a SYN or no TCP
// at all.
func opening(p []byte) (netip.AddrPort, bool) {
	var to netip.Addr
	var protocol byte
	var rest []byte
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		to, protocol, rest = netip.AddrFrom4([4]byte(p[16:20])), p[9], p[min(len(p), int(p[0]&15)*4):]
	case len(p) >= 40 && p[0]>>4 == 6:
		to, protocol, rest = netip.AddrFrom16([16]byte(p[24:40])), p[6], p[40:]
	}
	if protocol != syscall.IPPROTO_TCP || len(rest) < 14 {
		return netip.AddrPortFrom(to, 0), true
	}
	const syn, ack = 0x02, 0x10
	return netip.AddrPortFrom(to, binary.BigEndian.Uint16(rest[2:4])), rest[13]&(syn|ack) == syn
}

// answerEverywhere brings up the loopback interface and makes every address
// local to it (rtnetlink(7)): what would leave a real machine arrives here.
func answerEverywhere() error {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	index := binary.NativeEndian.AppendUint32(nil, uint32(lo.Index))
	up := binary.NativeEndian.AppendUint32(nil, syscall.IFF_UP)
	link := slices.Concat([]byte{syscall.AF_UNSPEC, 0, 0, 0}, index, up, up) // ifinfomsg
	if err := rtnetlink(syscall.RTM_NEWLINK, 0, link); err != nil {
		return fmt.Errorf("bringing up loopback: %w", err)
	}
	out := slices.Concat(binary.NativeEndian.AppendUint16(nil, 8), binary.NativeEndian.AppendUint16(nil, syscall.RTA_OIF), index)
	for _, family := range []byte{syscall.AF_INET, syscall.AF_INET6} {
		// rtmsg: the default route of the table of local addresses
		route := append([]byte{family, 0, 0, 0, syscall.RT_TABLE_LOCAL, syscall.RTPROT_STATIC, syscall.RT_SCOPE_HOST, syscall.RTN_LOCAL, 0, 0, 0, 0}, out...)
		if err := rtnetlink(syscall.RTM_NEWROUTE, syscall.NLM_F_CREATE, route); err != nil {
			return fmt.Errorf("adding route of family %d: %w", family, err)
		}
	}
	return nil
}

// rtnetlink sends one request and reads its acknowledgement.
func rtnetlink(kind, flags uint16, body []byte) error {
	s, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = syscall.Close(s) }()
	m := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, flags|syscall.NLM_F_REQUEST|syscall.NLM_F_ACK)
	m = append(m, make([]byte, 8)...) // sequence and port: there is one request
	if err := syscall.Sendto(s, append(m, body...), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(s, buffer, 0)
	if err != nil {
		return err
	}
	answers, err := syscall.ParseNetlinkMessage(buffer[:n])
	if err != nil {
		return err
	}
	if len(answers) != 1 || answers[0].Header.Type != syscall.NLMSG_ERROR || len(answers[0].Data) < 4 {
		return errors.New("netlink did not acknowledge")
	}
	if code := int32(binary.NativeEndian.Uint32(answers[0].Data)); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}
