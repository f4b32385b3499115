package pdf

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const (
	// parallel bounds the files that are read at once in this process, and so the
	// memory: parallel times maxMemory.
	parallel = 2
	// maxMemory is the most that an instance may have, in bytes: the file and what is
	// made of it.
	maxMemory = 128 << 20
	pageSize  = 64 << 10 // of WebAssembly
)

// compiled is PDFium for all files, made when the first is read: it takes some
// seconds of one core, and memory that a server without PDF files need not have.
var compiled = sync.OnceValues(func() (pdfium.Pool, error) {
	pool, err := webassembly.Init(webassembly.Config{
		Context: context.Background(), MaxTotal: parallel, Stdout: io.Discard, Stderr: io.Discard,
		FSConfig: wazero.NewFSConfig(), // none: the default is the whole file system
		RuntimeConfig: wazero.NewRuntimeConfig().WithCloseOnContextDone(true).WithMemoryLimitPages(maxMemory / pageSize).
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling),
	})
	if err != nil {
		return nil, fmt.Errorf("compiling PDFium: %w", err)
	}
	debug.FreeOSMemory() // what compiling took, once
	return pool, nil
})

// engine waits for PDFium. Where nobody waits any more, it is made for the next file.
func engine(ctx context.Context) (pdfium.Pool, error) {
	type result struct {
		pool pdfium.Pool
		err  error
	}
	made := make(chan result, 1)
	go func() {
		pool, err := compiled()
		made <- result{pool, err}
	}()
	select {
	case r := <-made:
		return r.pool, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// instance makes an instance of PDFium, which ends with the context. end must be
// called, and nothing of the instance is used afterwards.
func instance(ctx context.Context, pool pdfium.Pool) (p pdfium.Pdfium, end func(), err error) {
	if p, err = pool.GetInstanceWithContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("starting PDFium: %w", err)
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = p.Kill() // the only way to interrupt what runs
		close(killed)
	})
	return p, func() {
		if stop() {
			_ = p.Close()
		} else {
			<-killed
		}
	}, nil
}
