package outbound_test

import (
	"fmt"
	"net/netip"
)

// hostileURLs are refused before anything is resolved.
var hostileURLs = []string{
	"http://a.example.com/", "ftp://a.example.com/", "file:///etc/passwd", "gopher://a.example.com/", "//a.example.com/", "", "https://", "https:///x", "HTTPS://a.example.com/",
	"https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://0x7f.1/", "https://0/", "https://0.0.0.0/", "https://10.0.0.1/",
	"https://169.254.169.254/latest/meta-data/", "https://168.63.129.16/", "https://100.100.100.200/", "https://192.168.0.1/", "https://172.16.0.1/", "https://8.8.8.8/",
	"https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fe80::1%25eth0]/", "https://[2606:4700::1111]/",
	"https://localhost/", "https://LOCALHOST/", "https://a.localhost/", "https://localhost./", "https://a.example.com./", "https://printer.local/", "https://metadata.google.internal/", "https://x.onion/", "https://intranet/",
	"https://1.0.0.127.in-addr.arpa/", "https://a.test/", "https://a.invalid/", "https://a..example.com/", "https://.example.com/", "https://-a.example.com/", "https://a-.example.com/", "https://a_b.example.com/",
	"https://user@a.example.com/", "https://a.example.com@127.0.0.1/", `https://a.example.com\@127.0.0.1/`, "https://a.example.com%2f@127.0.0.1/", "https://127.0.0.1%00.example.com/", "https://a.example.com:22/", "https://a.example.com:8443/", "https://a.example.com:0443/", "https://a.example.com:/", "https://a.example.com#@127.0.0.1/",
	"https://a.example.com/\r\nHost: b", "https://a.example.com\t/", "https://ex\u00e4mple.com/", "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/", "https://example.com.1/",
}

// hostileAddresses are what a hostile name resolves to.
var hostileAddresses = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
	"198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1",
	"3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2a00:1450::5efe:7f00:1", "2a00:1450:0:0:200:5efe:a00:1",
}

var (
	publicV4 = netip.MustParseAddr("8.8.8.8")
	publicV6 = netip.MustParseAddr("2606:4700:4700::1111")
)

// addHostile gives each hostile address a name of its own, as A or AAAA, IPv4
// also mapped into IPv6; then each IPv4 beside an IPv6 address, and all at once.
// It returns the URLs.
func (n *names) addHostile() []string {
	var urls []string
	add := func(kind string, addresses ...netip.Addr) {
		urls = append(urls, "https://"+n.add(fmt.Sprintf("%s-%d.example.com", kind, len(urls)), addresses)+"/document")
	}
	var v4, v6, all []netip.Addr
	for _, s := range hostileAddresses {
		a := netip.MustParseAddr(s)
		all = append(all, a)
		if a.Is4() {
			v4 = append(v4, a)
			add("a", a)
			add("mapped", netip.AddrFrom16(a.As16()))
			continue
		}
		v6 = append(v6, a)
		add("aaaa", a)
	}
	for i := range max(len(v4), len(v6)) {
		add("mixed", v4[i%len(v4)], v6[i%len(v6)])
	}
	add("many-a", v4...)
	add("many-aaaa", v6...)
	add("all", all...)
	return urls
}
