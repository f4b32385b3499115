package pdf

import (
	"context"
	"os"
	"path/filepath"

	"github.com/klippa-app/go-pdfium"
	"github.com/tetratelabs/wazero"
)

// The package's tests share one engine, and its machine code is kept from run to run
// as Go keeps what it compiled: under the race detector making it takes 20 s.
func init() {
	dir, err := os.UserCacheDir()
	if err != nil {
		return
	}
	cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(dir, "latchkey-test"))
	if err != nil {
		return
	}
	shared.compile = func() (pdfium.Pool, error) {
		return compile(wazero.NewRuntimeConfig().WithCompilationCache(cache))
	}
}

// Engine makes PDFium by a function.
type Engine struct{ e engine }

func NewEngine(compile func() (pdfium.Pool, error)) *Engine {
	return &Engine{engine{compile: compile}}
}

func (e *Engine) Get(ctx context.Context) (pdfium.Pool, error) { return e.e.get(ctx) }
