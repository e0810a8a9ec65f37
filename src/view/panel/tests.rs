use super::*;
use crate::volume::{Channel, Row};

fn volume(shape: [usize; 3], spacing: [f64; 3]) -> Volume {
    let grid = Grid::with_spacing(shape, spacing).unwrap();
    let values = (0..grid.voxel_count()).map(|i| (i % 97) as f32);
    Volume::from_vec(values.collect(), grid).unwrap()
}

fn panel(image: Option<&Volume>, label: Option<&Volume>, width: usize) -> Drawn {
    let row = Row {
        images: vec![Channel {
            name: "ct".to_owned(),
            volume: Some(volume([8, 8, 8], [1.0; 3])),
        }],
        ..Row::default()
    };
    let panel = Panel {
        name: "ct",
        image,
        label,
        orientation: image.map_or([(0, true); 3], |v| v.grid().axes()),
        focus: Focus::of(&row).unwrap(),
        window: None,
        width,
    };
    panel.draw()
}

#[test]
fn planes_fill_the_width_in_their_sizes() {
    let cube = volume([20, 20, 20], [1.0; 3]);
    let planes = PLANES.map(|s| Plane::new(cube.grid(), &cube.grid().axes(), s, [0; 3]));
    assert_eq!(scale(&planes, 310), 5.0);
    // Thick slices: 20 x 2 mm wide, 100 mm high; half of the width is the limit.
    let thick = volume([20, 2, 10], [1.0, 1.0, 10.0]);
    let planes = PLANES.map(|s| Plane::new(thick.grid(), &thick.grid().axes(), s, [0; 3]));
    let pixels = scale(&planes, 310);
    assert_eq!(pixels, 1.55);
    let sizes = planes.map(|p| Raster::new(&p, pixels).size());
    assert_eq!(sizes, [[31, 3], [31, 155], [3, 155]]);
}

#[test]
fn a_panel_is_as_wide_as_asked_and_names_its_classes() {
    let image = volume([8, 8, 8], [1.0; 3]);
    let mut classes = vec![0u8; 512];
    classes[4 * 64 + 4 * 8 + 4] = 3;
    let label = Volume::from_vec(classes, *image.grid()).unwrap();
    let drawn = panel(Some(&image), Some(&label), 320);
    assert_eq!(drawn.canvas.width(), 320);
    // 99 pixels of planes, two lines and a histogram below.
    assert_eq!(drawn.canvas.height(), 217);
    assert_eq!(drawn.classes, BTreeSet::from([3]));
    assert!(drawn.window.is_some());
    let missing = panel(None, None, 320);
    assert_eq!((missing.canvas.width(), missing.canvas.height()), (320, 27));
    assert_eq!(missing.window, None);
}

#[test]
fn the_contour_lies_where_the_voxel_is() {
    let image = volume([4, 4, 1], [1.0; 3]);
    let mut classes = vec![0u8; 16];
    classes[4 + 2] = 1;
    let label = Volume::from_vec(classes, *image.grid()).unwrap();
    let plane = Plane::new(image.grid(), &image.grid().axes(), PLANES[0], [0; 3]);
    let (values, labels) = (Values::of(&image), Values::of(&label));
    let drawn = slice(
        &plane,
        3.0,
        (&values, &Window::of(&values.values)),
        &[(&labels, None)],
    );
    let line = colour(1).unwrap();
    let lines = (0..144).filter(|i| drawn.canvas.get(i % 12, i / 12) == Some(line));
    // Voxel x 2, y 1 is the second from the left and the third from the top: eight of its nine
    // pixels are its boundary.
    let expected: Vec<usize> = (0..144)
        .filter(|i| (3..6).contains(&(i % 12)) && (6..9).contains(&(i / 12)) && *i != 7 * 12 + 4)
        .collect();
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}
