package slides_test

import (
	"fmt"
	"strings"
	"testing"

	slidesapi "google.golang.org/api/slides/v1"

	"latchkey/resourceserver/internal/slides"
)

// TestManySlides: no slide is passed over in silence, however many there are: a long
// text is read in parts.
func TestManySlides(t *testing.T) {
	t.Parallel()
	const many = 5_000
	var deck slidesapi.Presentation
	for i := range many {
		deck.Slides = append(deck.Slides, &slidesapi.Page{ObjectId: fmt.Sprint("p", i)})
	}
	if got := slides.Render(&deck, true); strings.Count(got, "[slide ") != many || !strings.HasSuffix(got, "[slide 5000 | slide_id p4999]\n") {
		t.Errorf("%d slides", strings.Count(got, "[slide "))
	}
}
