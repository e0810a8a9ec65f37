"""How do I feed nnU-Net v2 from voxstream? Its network, loss, plans, validation and inference; our training batches.

    pip install voxstream nnunetv2
    export nnUNet_extTrainer=/path/to/this/folder        # it imports every file there, so this one is alone
    nnUNetv2_plan_and_preprocess -d 4 -c 3d_fullres
    nnUNetv2_train 4 3d_fullres 0 -tr nnUNetTrainerVoxstream
    nnUNetv2_predict -d 4 -c 3d_fullres -f 0 -tr nnUNetTrainerVoxstream -i … -o …

The trainer writes a pipeline from the plans file (raw images, the plan's spacing and normalisation, its patch, batch and
share of foreground, `nnunet_default`) into the output folder as `voxstream.yaml`, and trains on its stream. Not covered, and
refused by name: 2d and cascade configurations, and normalisations other than CT, z-score and none. Differences to nnU-Net's
own batches: the turn and the scaling are read from the whole volume, labels are resampled by trilinear weights of each class,
and subjects come in shuffled order instead of with replacement.
"""
import json
import os

import numpy as np
import torch
import voxstream
from batchgenerators.utilities.file_and_folder_operations import join, maybe_mkdir_p
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from nnunetv2.paths import nnUNet_raw
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class Batches:
    """nnU-Net's batches from a stream that has no end: data [b, c, z, y, x], target a list for deep supervision."""

    def __init__(self, path, rows, transpose, transforms):
        self.stream = voxstream.stream(path, epochs=None, batch=rows)
        self.axes = (0, 1, *(2 + axis for axis in transpose))
        self.transforms = transforms

    def __iter__(self):
        return self

    def __next__(self):
        t = next(self.stream).to_torch()
        # Classes are numbered from 1 in the pipeline, so that 0 is outside of the volume: voxstream pads images with their
        # minimum, and nnU-Net's inference with 0.
        image = t.image.masked_fill_(t.label == 0, 0)
        target = t.label.to(torch.int16).sub_(1).clamp_(min=0).permute(self.axes)
        for transform in self.transforms:
            rows = [transform(segmentation=row)["segmentation"] for row in target]
            target = [torch.stack(level) for level in zip(*rows)] if isinstance(rows[0], list) else torch.stack(rows)
        return {"data": image.permute(self.axes).contiguous(), "target": target, "keys": t.ids}


class nnUNetTrainerVoxstream(nnUNetTrainer):
    def get_dataloaders(self):
        own, validation = super().get_dataloaders()
        if hasattr(own, "_finish"):
            own._finish()
        maybe_mkdir_p(self.output_folder)
        path = join(self.output_folder, "voxstream.yaml")
        with open(path, "w") as file:
            # JSON is YAML.
            json.dump(self.pipeline(), file, indent=1)
        labels = self.label_manager
        transforms = []
        if labels.has_regions:
            regions = list(labels.foreground_regions) + [labels.ignore_label] * labels.has_ignore_label
            transforms.append(ConvertSegmentationToRegionsTransform(regions=regions, channel_in_seg=0))
        scales = self._get_deep_supervision_scales()
        if scales is not None:
            transforms.append(DownsampleSegForDSTransform(ds_scales=scales))
        return Batches(path, self.batch_size, self.plans_manager.transpose_forward, transforms), validation

    def pipeline(self):
        """The pipeline of this plan and fold, as plain data."""
        plan, labels = self.configuration_manager, self.label_manager
        if len(plan.patch_size) != 3 or self.is_cascaded:
            raise NotImplementedError(f"{self.configuration_name}: expected a 3-D configuration without a cascade")

        def xyz(numbers):
            # The plan's axes are those of the array after `transpose_forward`; ours are x, y, z of the file.
            zyx = np.empty(3, object)
            zyx[list(self.plans_manager.transpose_forward)] = numbers
            return [n.item() if hasattr(n, "item") else n for n in zyx[::-1]]

        names = [f"channel_{i}" for i in range(len(self.dataset_json["channel_names"]))]
        properties = self.plans_manager.foreground_intensity_properties_per_channel
        stages = [{"resample": {"spacing_mm": xyz(plan.spacing), "images": "cubic", "labels": "linear", "separate_z": "auto"}}]
        for i, (name, scheme) in enumerate(zip(names, plan.normalization_schemes)):
            p = properties[str(i)]
            if scheme == "CTNormalization":
                ends = [p["percentile_00_5"], p["percentile_99_5"]]
                to = [(end - p["mean"]) / max(p["std"], 1e-8) for end in ends]
                stages.append({"window": {"modalities": [name], "range": ends, "to": to}})
            elif scheme == "ZScoreNormalization":
                stages.append({"zscore": {"modalities": [name], "foreground": "all", "background": "scaled", "clip": 1e6}})
            elif scheme != "NoNormalization":
                raise NotImplementedError(f"normalisation {scheme} of channel {i}; CT, ZScore and No are known")
        folder = join(nnUNet_raw, self.plans_manager.dataset_name)
        ending = self.dataset_json["file_ending"]
        train = [str(key) for key in self.do_split()[0]]
        # nnU-Net gives the last rows of every batch their foreground; here it is the same share of all rows.
        share = 1 - round(self.batch_size * (1 - self.oversample_foreground_percent)) / self.batch_size
        every = [int(c) for c in labels.all_labels] + [labels.ignore_label] * labels.has_ignore_label
        return {
            "name": self.plans_manager.dataset_name,
            "seed": int(os.environ.get("VOXSTREAM_SEED", 0)),
            "source": {"folders": {
                "path": str(folder), "images": f"imagesTr/{{subject}}_{{modality}}{ending}", "labels": f"labelsTr/{{subject}}{ending}",
                "modalities": {name: f"{i:04d}" for i, name in enumerate(names)}, "split": {"train": train},
            }, "labels": {"map": {str(c): c + 1 for c in every}}},
            "stages": [*stages, {"shuffle": {}}],
            "views": {"shared": [
                {"nnunet_default": {"size": xyz(plan.patch_size), "samples": 1, "positive": share,
                                    "classes": [int(c) + 1 for c in labels.all_labels if c != 0]}},
            ]},
        }
