package office

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

const (
	maxObjects = 300_000
	maxPages   = 3_000
	maxForms   = 5 // nested forms
)

// pdf is a file being read. Its objects are found by looking for them, not by its
// cross-reference table: a table can lie, loop, or be broken.
type pdf struct {
	*reading
	data    []byte
	offsets map[ref]int // of "n g obj" in data; the last of a number counts
	packed  map[ref]any // objects out of object streams
	read    map[ref]any
	fonts   map[ref]*font
	root    any
	showing map[*stream]bool // forms that are being shown: none is within itself
}

var definition = regexp.MustCompile(`(?:^|[\r\n \t\x00>])(\d{1,7})[ \t\r\n]+\d{1,5}[ \t\r\n]+obj`)

// readPDF reads the texts of the pages in their order.
func readPDF(r *reading, data []byte) error {
	if !bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-")) {
		return ErrUnreadable
	}
	f := &pdf{reading: r, data: data, offsets: map[ref]int{}, packed: map[ref]any{}, read: map[ref]any{}, fonts: map[ref]*font{}, showing: map[*stream]bool{}}
	for _, m := range definition.FindAllSubmatchIndex(data, maxObjects) {
		n, _ := strconv.Atoi(string(data[m[2]:m[3]]))
		f.offsets[ref(n)] = m[1]
	}
	if err := f.trailers(); err != nil {
		return err
	}
	if err := f.unpack(); err != nil {
		return err
	}
	catalog, ok := f.resolve(f.root).(dict)
	if !ok {
		return ErrUnreadable
	}
	pages, err := f.pages(catalog["Pages"])
	if err != nil {
		return err
	}
	for i, p := range pages {
		if err := r.write(fmt.Sprintf("[page %d]\n", i+1)); err != nil {
			return err
		}
		if err := f.page(p); err != nil {
			return err
		}
		if err := r.line(); err != nil {
			return err
		}
	}
	return nil
}

// trailers finds the catalog, and refuses what is encrypted.
func (f *pdf) trailers() error {
	look := func(d dict) error {
		if d["Encrypt"] != nil {
			return ErrUnreadable
		}
		if d["Root"] != nil {
			f.root = d["Root"]
		}
		return nil
	}
	for at, n := 0, 0; n < 1_000; n++ {
		i := bytes.Index(f.data[at:], []byte("trailer"))
		if i < 0 {
			break
		}
		at += i + len("trailer")
		l := &lexer{b: f.data, i: at, look: f.look}
		o, err := l.object(0)
		if err != nil && !syntax(err) {
			return err
		}
		if d, ok := o.(dict); ok {
			if err := look(d); err != nil {
				return err
			}
		}
	}
	for _, r := range slices.Sorted(maps.Keys(f.offsets)) {
		o, err := f.get(r)
		if err != nil {
			return err
		}
		switch o := o.(type) {
		case *stream:
			if o.dict["Type"] == name("XRef") {
				if err := look(o.dict); err != nil {
					return err
				}
			}
		case dict:
			if o["Type"] == name("Catalog") && f.root == nil {
				f.root = r
			}
		}
	}
	return nil
}

func syntax(err error) bool { return errors.Is(err, errSyntax) || errors.Is(err, io.EOF) }

// unpack reads the objects of object streams (ISO 32000-1 §7.5.7).
func (f *pdf) unpack() error {
	for _, r := range slices.Sorted(maps.Keys(f.offsets)) {
		s, ok := f.read[r].(*stream)
		if !ok || s.dict["Type"] != name("ObjStm") {
			continue
		}
		b, err := f.decode(s)
		if syntax(err) {
			continue
		}
		if err != nil {
			return err
		}
		first, _ := f.resolve(s.dict["First"]).(float64)
		count, _ := f.resolve(s.dict["N"]).(float64)
		head := &lexer{b: b, look: f.look}
		for range int(min(max(count, 0), maxMembers)) {
			number, err1 := head.object(0)
			offset, err2 := head.object(0)
			if err := errors.Join(err1, err2); err != nil {
				if !syntax(err) {
					return err
				}
				break
			}
			n, ok1 := number.(float64)
			at, ok2 := offset.(float64)
			if !ok1 || !ok2 || at < 0 || first < 0 || int(first)+int(at) >= len(b) || len(f.packed) > maxObjects {
				break
			}
			l := &lexer{b: b, i: int(first) + int(at), look: f.look}
			o, err := l.object(0)
			if err != nil && !syntax(err) {
				return err
			}
			if err == nil {
				f.packed[ref(int(n))] = o
				if d, ok := o.(dict); ok && d["Type"] == name("Catalog") && f.root == nil {
					f.root = ref(int(n))
				}
			}
		}
	}
	return nil
}

// get reads an object of the file; damaged ones are nil.
func (f *pdf) get(r ref) (any, error) {
	if o, ok := f.read[r]; ok {
		return o, nil
	}
	at, ok := f.offsets[r]
	if !ok {
		return nil, nil
	}
	f.read[r] = nil
	l := &lexer{b: f.data, i: at, look: f.look}
	o, err := l.object(0)
	if err != nil {
		if syntax(err) {
			return nil, nil
		}
		return nil, err
	}
	if d, isDict := o.(dict); isDict {
		if l.skip(); bytes.HasPrefix(l.b[l.i:], []byte("stream")) {
			start := l.i + len("stream")
			if start < len(l.b) && l.b[start] == '\r' {
				start++
			}
			if start < len(l.b) && l.b[start] == '\n' {
				start++
			}
			o = &stream{d, f.extent(d, start)}
		}
	}
	f.read[r] = o
	return o, nil
}

// extent is a stream's content: of its length if "endstream" follows, else up to
// that word.
func (f *pdf) extent(d dict, start int) []byte {
	if n, ok := f.resolve(d["Length"]).(float64); ok && n >= 0 && start+int(n) <= len(f.data) && n < MaxFile {
		end := start + int(n)
		if bytes.HasPrefix(bytes.TrimLeft(f.data[end:min(end+20, len(f.data))], " \r\n\t"), []byte("endstream")) {
			return f.data[start:end]
		}
	}
	rest := f.data[min(start, len(f.data)):]
	i := bytes.Index(rest, []byte("endstream"))
	if i < 0 {
		i = len(rest)
	}
	if f.look(i) != nil {
		return nil
	}
	return rest[:i]
}

// resolve follows references, a few.
func (f *pdf) resolve(o any) any {
	for range 10 {
		r, ok := o.(ref)
		if !ok {
			return o
		}
		if packed, ok := f.packed[r]; ok {
			if _, again := f.offsets[r]; !again {
				o = packed
				continue
			}
		}
		var err error
		if o, err = f.get(r); err != nil {
			return nil
		}
	}
	return nil
}

// page is a page with what it has from its parents.
type page struct{ contents, resources any }

// pages walks the tree of pages (ISO 32000-1 §7.7.3), each node once.
func (f *pdf) pages(root any) ([]page, error) {
	var out []page
	seen := map[ref]bool{}
	var walk func(o, resources any, depth int) error
	walk = func(o, resources any, depth int) error {
		if err := f.step(); err != nil {
			return err
		}
		if r, ok := o.(ref); ok {
			if seen[r] {
				return nil
			}
			seen[r] = true
		}
		d, ok := f.resolve(o).(dict)
		if !ok || depth > maxNested || len(out) >= maxPages {
			return nil
		}
		if d["Resources"] != nil {
			resources = d["Resources"]
		}
		kids, ok := f.resolve(d["Kids"]).(list)
		if !ok {
			out = append(out, page{d["Contents"], resources})
			return nil
		}
		for _, k := range kids {
			if err := walk(k, resources, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return out, walk(root, nil, 0)
}

func (f *pdf) page(p page) error {
	contents, ok := f.resolve(p.contents).(list)
	if !ok {
		contents = list{p.contents}
	}
	var all []byte
	for _, c := range contents {
		s, ok := f.resolve(c).(*stream)
		if !ok {
			continue
		}
		b, err := f.decode(s)
		if err != nil && !syntax(err) {
			return err
		}
		if len(all)+len(b) > maxUnpacked {
			return ErrTooLarge
		}
		all = append(append(all, b...), '\n')
	}
	resources, _ := f.resolve(p.resources).(dict)
	return f.show(all, resources, 0)
}
