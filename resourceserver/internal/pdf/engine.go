package pdf

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sync/singleflight"
)

const (
	// Parallel bounds the files that are read at once in this process, and so the
	// memory: Parallel times maxMemory.
	Parallel = 2
	// maxMemory is the most that an instance may have, in bytes: the file and what is
	// made of it.
	maxMemory = 128 << 20
	pageSize  = 64 << 10 // of WebAssembly
)

// engine is PDFium for all files, made when the first is read: it takes some
// seconds of one core, and memory that a server without PDF files need not have.
// It is made by one at a time, and again by the next call if that failed.
type engine struct {
	compile func() (pdfium.Pool, error)
	making  singleflight.Group
	made    atomic.Pointer[pdfium.Pool]
}

var shared = &engine{compile: func() (pdfium.Pool, error) { return compile(wazero.NewRuntimeConfig()) }}

func compile(c wazero.RuntimeConfig) (pdfium.Pool, error) {
	pool, err := webassembly.Init(webassembly.Config{
		Context: context.Background(), MaxTotal: Parallel, Stdout: io.Discard, Stderr: io.Discard,
		FSConfig: wazero.NewFSConfig(), // none: the default is the whole file system
		RuntimeConfig: c.WithCloseOnContextDone(true).WithMemoryLimitPages(maxMemory / pageSize).
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling),
	})
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // what compiling took, once
	return pool, nil
}

// get waits for PDFium. Where nobody waits any more, it is made for the next file:
// no call's end ends the making.
func (e *engine) get(ctx context.Context) (pdfium.Pool, error) {
	if pool := e.made.Load(); pool != nil {
		return *pool, nil
	}
	select {
	case r := <-e.making.DoChan("", e.make):
		if r.Err != nil {
			return nil, r.Err
		}
		return *e.made.Load(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *engine) make() (_ any, err error) {
	if e.made.Load() != nil { // meanwhile
		return nil, nil
	}
	defer func() { // nobody else would stop it
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: compiling PDFium: panic of type %T", ErrUnavailable, p)
		}
	}()
	pool, err := e.compile()
	if err != nil {
		return nil, fmt.Errorf("%w: compiling PDFium: %w", ErrUnavailable, err)
	}
	e.made.Store(&pool)
	return nil, nil
}

// instance makes an instance of PDFium, which ends with the context within: after
// some time, or with ctx. end must be called, and nothing of the instance is used
// afterwards.
func instance(ctx context.Context, pool pdfium.Pool, most time.Duration) (p pdfium.Pdfium, within context.Context, end func(), err error) {
	if p, err = pool.GetInstanceWithContext(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, nil, nil, ctx.Err()
		}
		return nil, nil, nil, fmt.Errorf("%w: starting PDFium: %w", ErrUnavailable, err)
	}
	within, cancel := context.WithTimeout(ctx, most)
	killed := make(chan struct{})
	stop := context.AfterFunc(within, func() {
		_ = p.Kill() // the only way to interrupt what runs
		close(killed)
	})
	return p, within, func() {
		if stop() {
			_ = p.Close()
		} else {
			<-killed
		}
		cancel()
	}, nil
}
