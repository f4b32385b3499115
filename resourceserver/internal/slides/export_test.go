package slides

// Render is what is read of a presentation.
var Render = text
