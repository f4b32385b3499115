package fakegoogle

import "strings"

const slideType = "application/vnd.google-apps.presentation"

func init() {
	handle("slides.presentations.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["presentationsId"], slideType)
		if err != nil {
			return nil, err
		}
		// A presentation's content is its slides, each after a form feed; notes
		// follow a vertical tab.
		list := []any{}
		for i, text := range strings.Split(string(f.content), "\f") {
			text, notes, _ := strings.Cut(text, "\v")
			slide := map[string]any{"objectId": "p" + string(rune('0'+i%10)), "pageElements": []any{shape(text)}}
			if notes != "" {
				slide["slideProperties"] = map[string]any{"notesPage": map[string]any{"pageElements": []any{shape(notes)}}}
			}
			list = append(list, slide)
		}
		return map[string]any{"presentationId": f.ID, "title": f.Name, "slides": list}, nil
	})
}

func shape(text string) map[string]any {
	return map[string]any{"shape": map[string]any{"shapeType": "TEXT_BOX", "text": map[string]any{"textElements": []any{
		map[string]any{"paragraphMarker": map[string]any{}}, map[string]any{"textRun": map[string]any{"content": text + "\n"}},
	}}}}
}
